type Triple = readonly [number, number, number]

/** `#RRGGBB` as linear-light components from 0 to 1. */
function linear(hex: string): Triple {
  const part = (at: number) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  }
  return [part(1), part(3), part(5)]
}

function times(matrix: readonly Triple[], [x, y, z]: Triple): Triple {
  const [a, b, c] = matrix.map((row) => row[0] * x + row[1] * y + row[2] * z)
  return [a ?? 0, b ?? 0, c ?? 0]
}

/** Contrast ratio of two colours (WCAG 2.2). */
export function contrast(a: string, b: string): number {
  const luminance = (hex: string) =>
    times(
      [
        [0.2126, 0.7152, 0.0722],
        [0, 0, 0],
        [0, 0, 0],
      ],
      linear(hex),
    )[0]
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y)
  return ((high ?? 0) + 0.05) / ((low ?? 0) + 0.05)
}

/** Severity 1 in linear light (Machado, Oliveira and Fernandes 2009, table 1). */
const machado = {
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
} as const

export type Deficiency = keyof typeof machado

/** `#RRGGBB` in CIELAB (D65), as seen with a colour vision deficiency. */
export function lab(hex: string, deficiency?: Deficiency): Triple {
  const seen = deficiency ? times(machado[deficiency], linear(hex)) : linear(hex)
  const clipped = seen.map((value) => Math.min(1, Math.max(0, value)))
  const rgb: Triple = [clipped[0] ?? 0, clipped[1] ?? 0, clipped[2] ?? 0]
  const [x, y, z] = times(
    [
      [0.4124564, 0.3575761, 0.1804375],
      [0.2126729, 0.7151522, 0.072175],
      [0.0193339, 0.119192, 0.9503041],
    ],
    rgb,
  )
  const f = (t: number) => (t > 216 / 24389 ? Math.cbrt(t) : ((24389 / 27) * t) / 116 + 16 / 116)
  return [116 * f(y) - 16, 500 * (f(x / 0.95047) - f(y)), 200 * (f(y) - f(z / 1.08883))]
}

/** CIEDE2000 (Sharma, Wu and Dalal 2005). */
export function difference([l1, a1, b1]: Triple, [l2, a2, b2]: Triple): number {
  const degrees = (radians: number) => (radians * 180) / Math.PI
  const radians = (angle: number) => (angle * Math.PI) / 180
  const meanChroma = (Math.hypot(a1, b1) + Math.hypot(a2, b2)) / 2
  const g = 0.5 * (1 - Math.sqrt(meanChroma ** 7 / (meanChroma ** 7 + 25 ** 7)))
  const [s1, s2] = [(1 + g) * a1, (1 + g) * a2]
  const [c1, c2] = [Math.hypot(s1, b1), Math.hypot(s2, b2)]
  const hue = (b: number, s: number) => (b === 0 && s === 0 ? 0 : (degrees(Math.atan2(b, s)) + 360) % 360)
  const [h1, h2] = [hue(b1, s1), hue(b2, s2)]
  const gray = c1 * c2 === 0
  const turn = h2 - h1
  const dh = gray ? 0 : turn > 180 ? turn - 360 : turn < -180 ? turn + 360 : turn
  const dH = 2 * Math.sqrt(c1 * c2) * Math.sin(radians(dh / 2))
  const sum = h1 + h2
  const mean = gray ? sum : Math.abs(turn) <= 180 ? sum / 2 : sum < 360 ? (sum + 360) / 2 : (sum - 360) / 2
  const cos = (angle: number) => Math.cos(radians(angle))
  const t = 1 - 0.17 * cos(mean - 30) + 0.24 * cos(2 * mean) + 0.32 * cos(3 * mean + 6) - 0.2 * cos(4 * mean - 63)
  const [lMean, cMean] = [(l1 + l2) / 2, (c1 + c2) / 2]
  const sl = 1 + (0.015 * (lMean - 50) ** 2) / Math.sqrt(20 + (lMean - 50) ** 2)
  const [sc, sh] = [1 + 0.045 * cMean, 1 + 0.015 * cMean * t]
  const turned = 30 * Math.exp(-(((mean - 275) / 25) ** 2))
  const rt = -2 * Math.sqrt(cMean ** 7 / (cMean ** 7 + 25 ** 7)) * Math.sin(radians(2 * turned))
  const [dl, dc, dhh] = [(l2 - l1) / sl, (c2 - c1) / sc, dH / sh]
  return Math.sqrt(dl ** 2 + dc ** 2 + dhh ** 2 + rt * dc * dhh)
}

/** The smallest difference between any two colours, as seen with a colour vision deficiency. */
export function closest(colours: readonly string[], deficiency?: Deficiency): number {
  let least = Number.POSITIVE_INFINITY
  for (const [index, one] of colours.entries()) {
    for (const other of colours.slice(index + 1))
      least = Math.min(least, difference(lab(one, deficiency), lab(other, deficiency)))
  }
  return least
}
