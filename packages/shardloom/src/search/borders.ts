/** How many layers lie between borders. */
export function sizesOf(borders: readonly number[]): number[] {
  return borders.slice(1).map((border, chunk) => border - (borders[chunk] ?? 0))
}

/** Whether borders are the same. */
export function areSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((each, index) => each === b[index])
}
