export type { SvgOptions } from './page.js'
export type { ParetoAxis, ParetoPicture, ParetoPoint } from './pareto.js'
export { type ParetoSvgOptions, paretoSvg } from './pareto-svg.js'
export { type PlacedView, placeView } from './place-view.js'
export { type Report, type ReportFigure, type ReportSection, type ReportTable, reportPage } from './report.js'
export { type ScheduleSvgOptions, scheduleSvg } from './schedule-svg.js'
export {
  type MemorySvgOptions,
  memorySvg,
  type NamedTimeline,
  type TimelineSvgOptions,
  timelineSvg,
  timelinesSvg,
} from './simulation-svg.js'
export type { SvgTheme } from './style.js'
export { type GraphSvgOptions, placedSvg, toSvg, viewSvg } from './to-svg.js'
