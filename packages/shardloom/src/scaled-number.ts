/** What may stand behind a number, each with what it multiplies the number by. */
export type Scales = Readonly<Record<string, number>>

/** Behind counts: 15T tokens are 15e12. */
export const countScales: Scales = { k: 1e3, K: 1e3, M: 1e6, B: 1e9, T: 1e12 }

/** A number and what stands behind it. */
interface NumberWithUnit {
  /** As it was written. */
  readonly digits: string
  readonly unit: string
}

/** Divides a text such as `1.5B` or `50 ms`; undefined where it does not begin with a number from 0, or has more than a word behind it. */
export function splitNumber(text: string): NumberWithUnit | undefined {
  const [, digits, unit = ''] = /^\s*(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*([a-z]*)\s*$/i.exec(text) ?? []
  return digits === undefined ? undefined : { digits, unit }
}

/** What a number comes to with the unit behind it; undefined for a unit that is none of these. */
export function scaledNumber({ digits, unit }: NumberWithUnit, scales: Scales = {}): number | undefined {
  const scale = unit === '' ? 1 : Object.hasOwn(scales, unit) ? scales[unit] : undefined
  if (scale === undefined) return undefined
  const value = Number(digits) * scale
  // 1.1B is 1100000000, and not what 1.1 in binary is times 1e9.
  return Number.isInteger(value) ? value : Number(value.toPrecision(15))
}
