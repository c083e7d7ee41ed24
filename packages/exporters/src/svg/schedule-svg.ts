import { argumentError } from '@shardloom/core'
import type { TimedSchedule } from '@shardloom/schedules'
import { checkSvgOptions, page, type SvgOptions } from './page.js'
import { type ScheduleChartOptions, scheduleChart } from './schedule-chart.js'
import { drawTimeline } from './timeline.js'

/** How schedules are drawn. */
export interface ScheduleSvgOptions extends SvgOptions, ScheduleChartOptions {
  /** Pixels; default 1180, from 400 to 20,000. */
  readonly width?: number
}

/**
 * Draws timed schedules as SVG, each as a panel with a row per rank, all on one axis of time: F is dark blue, I light blue, W yellow;
 * a full backward is I over W; two that overlap are two half-height cells in one outline; idle time is hatched, and its share stands
 * at the end of the row. Slices carry their label where it fits and always as a tooltip; slices under one pixel merge into a strip.
 */
export function scheduleSvg(schedules: readonly TimedSchedule[], options: ScheduleSvgOptions = {}): string {
  if (!Array.isArray(schedules) || schedules.length === 0)
    throw argumentError('first', schedules, 'a list of timed schedules', 'Give what `timeSchedule` returns, in a list.')
  checkSvgOptions(options, {
    names: 'string[]',
    unit: 'string',
    microbatch: 'number',
    critical: 'boolean',
    width: 'number',
  })
  const { names, unit, microbatch, critical, width = 1180, ...rest } = options
  const chart = scheduleChart(schedules, {
    ...(names && { names }),
    ...(unit !== undefined && { unit }),
    ...(microbatch !== undefined && { microbatch }),
    ...(critical !== undefined && { critical }),
  })
  return page(drawTimeline(chart, Math.min(20_000, Math.max(400, Math.floor(width)))), rest)
}
