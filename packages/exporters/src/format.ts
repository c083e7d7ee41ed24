const space = '\u00A0'
const prefixes = ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z'] as const

/**
 * Writes a quantity to three significant digits with an SI prefix and its unit, such as `67.1 MB`, joined by a no-break
 * space. Takes bigint so that sums stay exact until they are shown.
 */
export function formatQuantity(value: number | bigint, unit: string): string {
  const number = Number(value)
  let scaled = Math.abs(number)
  let prefix = 0
  while (Number(scaled.toPrecision(3)) >= 1000 && prefix < prefixes.length - 1) {
    scaled /= 1000
    prefix++
  }
  const digits = prefix === 0 && Number.isInteger(scaled) ? String(scaled) : withThreeDigits(scaled)
  const tail = `${prefixes[prefix]}${unit}`
  return `${number < 0 ? '−' : ''}${digits}${tail ? space + tail : ''}`
}

/** Writes bytes, such as `33.6 MB`. */
export function formatBytes(value: number | bigint): string {
  return formatQuantity(value, 'B')
}

/** Writes floating-point operations, such as `137 GFLOP`. */
export function formatFlops(value: number | bigint): string {
  return formatQuantity(value, 'FLOP')
}

/** Writes seconds with three digits: `13.8 s`, `412 ms`, `38.1 µs`. */
export function formatSeconds(seconds: number): string {
  if (seconds >= 0.9995 || seconds === 0) return formatQuantity(seconds, 's')
  const [scaled, unit] = seconds >= 0.9995e-3 ? [seconds * 1e3, 'ms'] : [seconds * 1e6, 'µs']
  return `${scaled.toFixed(scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2)}${space}${unit}`
}

/** Writes a share of 1 in per cent with one digit: `61.4 %`. */
export function formatShare(share: number): string {
  return `${(100 * share).toFixed(1)}${space}%`
}

/** Writes a relative difference in per cent with its sign, and from tenfold on as a factor: `−18.2 %`, `× 23,800`. */
export function formatDifference(relative: number): string {
  const factor = relative + 1
  if (factor >= 10) return `×${space}${formatRounded(factor)}`
  const rounded = (100 * Math.abs(relative)).toFixed(1)
  const sign = Number(rounded) === 0 ? '±' : relative < 0 ? '−' : '+'
  return `${sign}${rounded}${space}%`
}

/** Three digits, with thousands apart: `12.3`, `23,800`. */
function formatRounded(value: number): string {
  const rounded = Number(value.toPrecision(3))
  return rounded < 1e15 && rounded >= 100 ? formatCount(rounded) : value.toPrecision(3)
}

/** Writes a whole number with its thousands apart, such as `1,812`. */
export function formatCount(value: number | bigint): string {
  const text = String(value).replace('-', '−')
  return text.replace(/\B(?=(\d{3})+$)/g, ',')
}

/** Writes how many there are of something: `1 step`, `1,812 steps`; `several` where that is no `s` behind it. */
export function formatCounted(count: number | bigint, one: string, several = `${one}s`): string {
  return `${formatCount(count)} ${Number(count) === 1 ? one : several}`
}

/**
 * Writes the axes of a mesh above degree 1, such as `dp 4 × tp 2`. Axes that divide the same ranks once more, so that the
 * degrees multiply beyond `world`, stand behind a bar: `dp 4 × tp 2 | expertDp 2 × ep 4`. Empty for one rank.
 */
export function formatMesh(degrees: Readonly<Record<string, number>>, world: number, times = ' × '): string {
  const parts: string[][] = [[]]
  let ranks = 1
  for (const [axis, degree] of Object.entries(degrees)) {
    if (degree === 1) continue
    if (ranks === world) {
      parts.push([])
      ranks = 1
    }
    ranks *= degree
    parts.at(-1)?.push(`${axis} ${degree}`)
  }
  return parts.map((axes) => axes.join(times)).join(' | ')
}

/** Shortens a name to `limit` characters by cutting its middle, behind the first `head` of them: `expert…down`. */
export function cutMiddle(text: string, limit = 24, head = Math.ceil((limit - 1) / 2)): string {
  const characters = [...text]
  if (characters.length <= limit) return text
  return `${characters.slice(0, head).join('')}…${characters.slice(characters.length - (limit - 1 - head)).join('')}`
}

/** The same of several names, cut further ahead where those that differ would not. */
export function cutMiddles(names: readonly string[], limit = 24): readonly string[] {
  const different = new Set(names).size
  for (let head = Math.ceil((limit - 1) / 2); head >= 0; head--) {
    const cut = names.map((name) => cutMiddle(name, limit, head))
    if (new Set(cut).size === different) return cut
  }
  return names.map((name) => cutMiddle(name, limit))
}

function withThreeDigits(value: number): string {
  if (value === 0) return '0'
  const rounded = Number(value.toPrecision(3))
  const decimals = Math.max(0, 2 - Math.floor(Math.log10(rounded)))
  return rounded.toFixed(Math.min(decimals, 6))
}
