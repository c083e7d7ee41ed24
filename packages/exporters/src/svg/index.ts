export type { SvgOptions } from './page.js'
export { toSvg, viewSvg } from './to-svg.js'
