export { type Level, levels } from './card.js'
export type { EdgeRole } from './chain.js'
export { type DotGraph, type DotOptions, toDot, type Write, writeDot, writeDotGraph } from './dot.js'
export {
  cutMiddle,
  cutMiddles,
  formatBytes,
  formatCount,
  formatCounted,
  formatDifference,
  formatFlops,
  formatMesh,
  formatQuantity,
  formatSeconds,
  formatShare,
} from './format.js'
export { type GraphlibEdge, type GraphlibJson, type GraphlibNode, toGraphlib } from './graphlib.js'
export { toJsonText } from './json.js'
export { type MermaidOptions, mermaidOf, toMermaid } from './mermaid.js'
export {
  edgeStyles,
  type MemoryBand,
  measures,
  nodeShapes,
  type Paint,
  readableLimits,
  type Theme,
  type ThemeName,
  themes,
} from './tokens.js'
export {
  createView,
  type LegendEntry,
  type UnrollAxis,
  unrollAxes,
  type View,
  type ViewCluster,
  type ViewEdge,
  type ViewNode,
  type ViewOptions,
} from './view.js'
