/** Picoseconds in a second: the unit in which events are counted, so that sums are exact. */
export const ticksPerSecond = 1e12
