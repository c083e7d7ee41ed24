export { edgeKinds } from '@shardloom/core/unroll'
export { ticksPerSecond } from '@shardloom/simulator'
export { type Axis, axisOf } from './svg/axis.js'
export {
  type Chart,
  type ChartPanel,
  type ChartRow,
  type ChartSlice,
  type SliceKind,
  sliceNames,
  slicePaint,
  ticksOf,
  tickText,
} from './svg/chart.js'
export { type CurvePiece, type LevelLabel, levelLabelAt } from './svg/level-label.js'
export { bandNames, type MemoryPanel, memoryPanel } from './svg/memory-chart.js'
export { type ScheduleChartOptions, type ScheduleFlow, scheduleChart, scheduleFlows } from './svg/schedule-chart.js'
export { sizeOf as cardSize } from './svg/shapes.js'
export { unitOf } from './svg/simulation-chart.js'
export { type StripFill, stripFills, stripParts } from './svg/strip.js'
export { readableOn } from './svg/style.js'
export {
  criticalNodes,
  type Grain,
  type NodeSlice,
  sliceKey,
  slicesOf,
  type TimelineRow,
  timelineRows,
} from './svg/timeline-rows.js'
export type { MemoryBand } from './tokens.js'
