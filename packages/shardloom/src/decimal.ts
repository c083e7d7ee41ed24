/** The number that a text is in decimal digits, such as `12`, `0.5` or `1e-3`; undefined for any other, hexadecimal ones too. */
export function decimal(text: string): number | undefined {
  if (!/^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text)) return undefined
  const number = Number(text)
  return Number.isFinite(number) ? number : undefined
}
