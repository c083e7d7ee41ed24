/** The text of a quantity by what it measures: its own unit last, so that a prefix such as the `m` of `ms` stands alone. */
const units = {
  bytes: { pattern: /^(\d+(?:\.\d+)?) ?([kMGT])(i?)(B)$/, like: '80 GiB or 141 GB' },
  byteRate: {
    pattern: /^(\d+(?:\.\d+)?) ?([kMGTP])(i?)(B\/s|b\/s|bit\/s|bps)$/,
    like: '3.35 TB/s, or 400 Gb/s in bits',
  },
  operationRate: { pattern: /^(\d+(?:\.\d+)?) ?([MGTP])()(FLOP\/s|FLOPS|OP\/s|OPS)$/, like: '989 TFLOP/s' },
  seconds: { pattern: /^(\d+(?:\.\d+)?) ?([munµμ]?)()(s)$/, like: '2 us' },
} as const

/** What a field of a cluster may be written in, beside a number. */
export type Quantity = keyof typeof units

/** Powers of a thousand: both signs that Unicode has for micro, and the letter that keyboards have. */
const powers: Readonly<Record<string, number>> = { n: -3, u: -2, µ: -2, μ: -2, m: -1, k: 1, M: 2, G: 3, T: 4, P: 5 }

/**
 * The number that a text with a unit means, in bytes, B/s, operations per second or seconds; undefined for any other
 * text. A small `b` is a bit, as networks are named: `400 Gb/s` is 50e9 B/s.
 */
export function parseQuantity(text: string, quantity: Quantity): number | undefined {
  const [, amount, prefix = '', binary, unit = ''] = units[quantity].pattern.exec(text) ?? []
  if (amount === undefined) return undefined
  const power = powers[prefix] ?? 0
  const inBits = unit.startsWith('b')
  // Dividing by a power that is exact keeps `2 us` the number that 2e-6 is.
  const scaled = power < 0 ? Number(amount) / 1000 ** -power : Number(amount) * (binary ? 1024 : 1000) ** power
  return inBits ? scaled / 8 : scaled
}

/** Examples of the texts that {@link parseQuantity} reads. */
export function quantityLike(quantity: Quantity): string {
  return units[quantity].like
}

/** Bytes of a text with a decimal or binary unit, such as `141 GB` or `3.5 GiB`; undefined for any other. */
export function parseBytes(text: string): number | undefined {
  return parseQuantity(text, 'bytes')
}
