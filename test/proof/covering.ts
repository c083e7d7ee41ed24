/** `npm run prove` runs every mixture of the lists that proofs combine. */
const everything = process.env['SHARDLOOM_TALLY'] !== undefined

/**
 * Whether a mixture of choices, given by their places in their lists, is among those that `npm test` runs: one of `share`,
 * evenly spread. Of three lists or more, none shorter than `share`, every two choices meet in one of them (the rows of an
 * orthogonal array, as in pairwise testing).
 */
export function isCovered(share: number, ...places: readonly number[]): boolean {
  return everything || places.reduce((sum, place) => sum + place, 0) % share === 0
}

/** The entries of the last list that are run with these choices of the others. */
export function covered<Entry>(share: number, entries: readonly Entry[], ...others: readonly number[]): Entry[] {
  return entries.filter((_, place) => isCovered(share, place, ...others))
}
