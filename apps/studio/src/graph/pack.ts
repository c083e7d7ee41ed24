import { type Block, moved, movedPath } from './placed.js'

/** Width and height in pixels. */
export interface Size {
  readonly width: number
  readonly height: number
}

/** The width of a picture that is read well, by its height. */
const readable = 1.2

/** Blocks in rows and columns in their order, as many beside each other as make the whole the most readable. */
export function packed(blocks: readonly Block[], gap: number): Block {
  const extent = ({ width, height }: Size) => Math.max(width / readable, height)
  const tries = blocks.map((_, more) => inColumns(blocks, more + 1, gap))
  const { width, height, corners } = tries.reduce((best, next) => (extent(next) < extent(best) ? next : best))
  const inside = blocks.map((block, at) => movedBlock(block, corners[at] ?? { x: 0, y: 0 }, 0))
  return {
    width,
    height,
    clusters: inside.flatMap(({ clusters }) => clusters),
    nodes: inside.flatMap(({ nodes }) => nodes),
    edges: inside.flatMap(({ edges }) => edges),
  }
}

type Point = { readonly x: number; readonly y: number }

/** Boxes in rows of a number, each in the middle of its column. */
function inColumns(sizes: readonly Size[], count: number, gap: number): Size & { readonly corners: readonly Point[] } {
  const widths: number[] = []
  const heights: number[] = []
  sizes.forEach(({ width, height }, index) => {
    const [column, row] = [index % count, Math.floor(index / count)]
    widths[column] = Math.max(widths[column] ?? 0, width)
    heights[row] = Math.max(heights[row] ?? 0, height)
  })
  const [lefts, tops] = [startsOf(widths, gap), startsOf(heights, gap)]
  return {
    width: (lefts.at(-1) ?? gap) - gap,
    height: (tops.at(-1) ?? gap) - gap,
    corners: sizes.map(({ width }, index) => {
      const [column, row] = [index % count, Math.floor(index / count)]
      return { x: (lefts[column] ?? 0) + ((widths[column] ?? 0) - width) / 2, y: tops[row] ?? 0 }
    }),
  }
}

/** Where each of some lengths begins, one behind the other, and where another would. */
function startsOf(lengths: readonly number[], gap: number): number[] {
  const starts = [0]
  for (const length of lengths) starts.push((starts.at(-1) ?? 0) + length + gap)
  return starts
}

/** A block somewhere else, with some frames around it. */
export function movedBlock(block: Block, { x, y }: Point, frames: number): Block {
  return {
    ...block,
    clusters: block.clusters.map((each) => ({ ...each, depth: each.depth + frames, at: moved(each.at, x, y) })),
    nodes: block.nodes.map((each) => ({ ...each, at: moved(each.at, x, y) })),
    edges: block.edges.map(({ label, ...each }) => ({
      ...each,
      path: movedPath(each.path, x, y),
      ...(label && { label: moved(label, x, y) }),
    })),
  }
}
