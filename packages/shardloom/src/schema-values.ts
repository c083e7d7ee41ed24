import * as z from 'zod'

/** The largest size, count or degree that a spec may name. */
export const largestSize = 2 ** 31

/** A whole number; its error message is what was expected, for {@link specError}. */
export function wholeNumber(least = 1, most = largestSize) {
  const expected = `a whole number from ${least} to ${most}`
  return z.number(expected).int(expected).min(least, expected).max(most, expected)
}

/** One of a few words; its error message is what was expected. */
export function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, `one of ${values.join(', ')}`)
}
