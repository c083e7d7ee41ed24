import type { Kernel } from '@shardloom/core'
import { countOf, offsets, zeros } from './points.js'

const one = Float64Array.of(1)

/** Σ over the dims that the result lacks of the product of the operands, each sum in row-major order of those dims. */
export const contract: Kernel = ([a = one, b = one, ...more], context) => {
  if (more.length > 0) throw new Error('a sum of products has at most two operands')
  const { rule, size } = context
  const result = rule.results[0] ?? []
  const summed = rule.space.filter((dim) => !result.includes(dim))
  const pathOf = (own: readonly string[] = []): Path => {
    const step = (dims: readonly string[]) => offsets(dims.slice(-1), own, size)[1] ?? 0
    const outer = (dims: readonly string[]) => offsets(dims.slice(0, -1), own, size)
    return { rows: outer(result), next: step(result), terms: outer(summed), step: step(summed) }
  }
  const [alongA, alongB] = [pathOf(rule.operands[0]), pathOf(rule.operands[1])]
  const out = zeros(context)
  const columns = countOf(result.slice(-1), size)
  const terms = countOf(summed.slice(-1), size)
  for (let row = 0; row < alongA.rows.length; row++) addRow(out, columns, row, terms, a, alongA, b, alongB)
  return [out]
}

/** Where the elements of an operand stand: per row of the result and from column to column, per group of terms and from term to term. */
interface Path {
  readonly rows: Int32Array
  readonly next: number
  readonly terms: Int32Array
  readonly step: number
}

/** The sums of one row of the result, four side by side: a processor adds to one while another's addition is under way. */
function addRow(
  out: Float64Array,
  columns: number,
  row: number,
  terms: number,
  a: Float64Array,
  { rows: aRows, next: aNext, terms: aTerms, step: aStep }: Path,
  b: Float64Array,
  { rows: bRows, next: bNext, terms: bTerms, step: bStep }: Path,
): void {
  const start = row * columns
  let column = 0
  for (; column + 4 <= columns; column += 4) {
    const aStart = (aRows[row] ?? 0) + column * aNext
    const bStart = (bRows[row] ?? 0) + column * bNext
    let sum0 = 0
    let sum1 = 0
    let sum2 = 0
    let sum3 = 0
    for (let group = 0; group < aTerms.length; group++) {
      let at = aStart + (aTerms[group] ?? 0)
      let bt = bStart + (bTerms[group] ?? 0)
      for (let term = 0; term < terms; term++) {
        sum0 += (a[at] ?? 0) * (b[bt] ?? 0)
        sum1 += (a[at + aNext] ?? 0) * (b[bt + bNext] ?? 0)
        sum2 += (a[at + 2 * aNext] ?? 0) * (b[bt + 2 * bNext] ?? 0)
        sum3 += (a[at + 3 * aNext] ?? 0) * (b[bt + 3 * bNext] ?? 0)
        at += aStep
        bt += bStep
      }
    }
    out[start + column] = sum0
    out[start + column + 1] = sum1
    out[start + column + 2] = sum2
    out[start + column + 3] = sum3
  }
  for (; column < columns; column++) {
    let sum = 0
    for (let group = 0; group < aTerms.length; group++) {
      let at = (aRows[row] ?? 0) + column * aNext + (aTerms[group] ?? 0)
      let bt = (bRows[row] ?? 0) + column * bNext + (bTerms[group] ?? 0)
      for (let term = 0; term < terms; term++) {
        sum += (a[at] ?? 0) * (b[bt] ?? 0)
        at += aStep
        bt += bStep
      }
    }
    out[start + column] = sum
  }
}
