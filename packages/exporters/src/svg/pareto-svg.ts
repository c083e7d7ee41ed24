import { argumentError, ShardloomError } from '@shardloom/core'
import { checkSvgOptions, page, type SvgOptions } from './page.js'
import { drawPareto, isDrawn, type ParetoPicture } from './pareto.js'

/** How a front is drawn. */
export interface ParetoSvgOptions extends SvgOptions {
  /** Pixels; default 960, from 400 to 20,000. */
  readonly width?: number
}

/**
 * Draws candidates by two metrics as SVG: all of them as small circles, the Pareto front as a staircase that borders what it is at least
 * as good as. Points of the front stand beside their names, or beside numbers that a list below explains; each point has a tooltip, and
 * where some have no number the legend says how many do.
 * Axes are logarithmic where values are far apart, and say so. Throws `ARGUMENT` where there is no point, `OPTION` where the marked one
 * is none of them.
 */
export function paretoSvg(picture: ParetoPicture, options: ParetoSvgOptions = {}): string {
  const { points, marked } = checked(picture)
  if (!points.some(isDrawn))
    throw new ShardloomError('ARGUMENT', 'A front cannot be drawn: no candidate has a number for both metrics.', {
      help: 'Give at least one point whose x and y are numbers.',
    })
  if (marked !== undefined && !points.some(({ name }) => name === marked))
    throw new ShardloomError('OPTION', `No candidate of the picture is called \`${marked}\`.`, {
      help: 'Mark one of its points by its name.',
      subject: 'marked',
    })
  checkSvgOptions(options, { width: 'number' })
  const { width = 960, ...rest } = options
  return page(drawPareto(picture, Math.min(20_000, Math.max(400, Math.floor(width)))), rest)
}

function checked(picture: ParetoPicture): ParetoPicture {
  const { points, axes } = Object(picture) as Partial<ParetoPicture> // of callers without types
  if (!Array.isArray(points) || !axes?.x?.name || !axes.y?.name)
    throw argumentError('first', picture, 'points and axes', 'Give `{ points, axes: { x: { name }, y: { name } } }`.')
  return picture
}
