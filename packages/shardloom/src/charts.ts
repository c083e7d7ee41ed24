/** Timelines and memory before they are drawn, and how the parts of drawings look: what a page needs that draws by itself. */
export * from '@shardloom/exporters/charts'
