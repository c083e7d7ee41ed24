import { unitOf } from 'shardloom/charts'
import type { View } from './view.js'

/** The unit that ticks of a view are written in, and how many of it one of the timeline's has. */
export function axisUnit(unit: string, { to }: Pick<View, 'to'>): readonly [unit: string, perUnit: number] {
  return unit === 's' ? unitOf(to) : [unit, 1]
}
