import { finish, ShardloomError, type Work } from '@shardloom/core'
import { type Efficiency, efficiencyFields } from './efficiency.js'

/** A time that was measured, and what any constants predict of it. */
export interface Measurement {
  readonly seconds: number
  readonly predict: (efficiency: Efficiency) => number
}

/** A fit of constants to measurements. */
export interface Calibration {
  readonly values: Efficiency
  /** Of each constant how far the measurements settle it: 0, the one to start from stands; 1, they alone speak. */
  readonly settled: Readonly<Record<keyof Efficiency, number>>
  /** The constants that measurements moved to the most that they can be. */
  readonly bounded: readonly (keyof Efficiency)[]
  /** Predicted over measured, less 1, of each measurement: with the constants to start from, and with the fitted ones. */
  readonly before: readonly number[]
  readonly after: readonly number[]
}

/** By how much a constant may differ from one accelerator's to another's, and a measurement from itself: in logarithms. */
const spread = { constant: 0.25, measurement: 0.02 } as const

/** Deviations beyond so many spreads count linearly, not squared (Huber 1964). */
const outlier = 2
const rounds = 12

/**
 * Fits the constants of an accelerator to measured times: the most probable ones where each is log-normal around the one to
 * start from and times deviate log-normally, outliers excepted. Gauss-Newton steps with damping (Marquardt 1963) on
 * finite differences; deterministic. What no measurement depends on stays as it is. Throws `CALIBRATE` for no measurements and for
 * times that are none.
 */
export function calibrate(start: Efficiency, measurements: readonly Measurement[]): Calibration {
  return finish(calibrationWork(start, measurements))
}

/** {@link calibrate} as work that can be stopped; its parts are constants in rounds, of which there are at most so many. */
export function* calibrationWork(start: Efficiency, measurements: readonly Measurement[]): Work<Calibration> {
  if (measurements.length === 0 || measurements.some(({ seconds }) => !(seconds > 0 && seconds < Infinity))) {
    throw new ShardloomError('CALIBRATE', 'There is no measured time to fit to, or one that is none.', {
      help: 'Each measurement has `seconds` above 0.',
    })
  }
  const at = (shifts: readonly number[]) => shifted(start, shifts)
  const most = efficiencyFields.map(({ name, most }) => Math.log(most / start[name]))
  const deviations = (shifts: readonly number[]) => {
    const constants = at(shifts)
    return measurements.map(({ seconds, predict }) => Math.log(predict(constants) / seconds) / spread.measurement)
  }
  const weightOf = (deviation: number) => Math.min(1, outlier / Math.abs(deviation || 1))
  const lossOf = (list: readonly number[], shifts: readonly number[]) =>
    list.reduce((sum, d) => sum + (Math.abs(d) <= outlier ? d * d : 2 * outlier * Math.abs(d) - outlier ** 2), 0) +
    shifts.reduce((sum, each) => sum + (each / spread.constant) ** 2, 0)
  let shifts = efficiencyFields.map(() => 0)
  let deviation = deviations(shifts)
  const before = deviation
  let loss = lossOf(deviation, shifts)
  let damping = 1e-3
  let curvature = priorCurvature()
  for (let round = 0; round < rounds; round++) {
    const slopes: number[][] = []
    for (const index of efficiencyFields.keys()) {
      yield { work: 'fitting', done: round * efficiencyFields.length + index, of: rounds * efficiencyFields.length }
      const step = 0.01
      const moved = deviations(shifts.map((each, other) => (other === index ? each - step : each)))
      slopes.push(moved.map((each, row) => ((deviation[row] ?? 0) - each) / step))
    }
    curvature = priorCurvature()
    const gradient = shifts.map(
      (each, index) => each / spread.constant ** 2 + sumOf(slopes[index], deviation, weightOf),
    )
    slopes.forEach((a, i) => {
      const line = curvature[i] as number[] // as many lines as constants
      slopes.forEach((b, j) => {
        line[j] =
          (line[j] ?? 0) + a.reduce((sum, each, row) => sum + each * (b[row] ?? 0) * weightOf(deviation[row] ?? 0), 0)
      })
    })
    let improved = false
    for (let attempt = 0; attempt < 6 && !improved; attempt++) {
      // A constant at its bound that would go beyond it stays there, and the others move as if it were none.
      const isHeld = shifts.map((each, i) => each === most[i] && (gradient[i] ?? 0) < 0)
      const damped = curvature.map((line, i) =>
        line.map((each, j) => (i === j ? each * (1 + damping) : isHeld[i] || isHeld[j] ? 0 : each)),
      )
      const step = solve(
        damped,
        gradient.map((each, i) => (isHeld[i] ? 0 : each)),
      )
      const next = shifts.map((each, i) => Math.min(each - (step[i] ?? 0), most[i] ?? 0))
      const nextDeviation = deviations(next)
      const nextLoss = lossOf(nextDeviation, next)
      if (nextLoss < loss) {
        improved = loss - nextLoss > 1e-6 * loss
        shifts = next
        deviation = nextDeviation
        loss = nextLoss
        damping /= 5
        break
      }
      damping *= 5
    }
    if (!improved) break
  }
  const variance = efficiencyFields.map(
    (_, index) =>
      solve(
        curvature,
        efficiencyFields.map((_, i) => (i === index ? 1 : 0)),
      )[index] ?? 0,
  )
  const errors = (list: readonly number[]) => list.map((each) => Math.exp(each * spread.measurement) - 1)
  return {
    values: at(shifts),
    settled: Object.fromEntries(
      efficiencyFields.map(({ name }, index) => [name, 1 - (variance[index] ?? 0) / spread.constant ** 2]),
    ) as Calibration['settled'], // a number for each field
    bounded: efficiencyFields.flatMap(({ name }, i) => (shifts[i] !== 0 && shifts[i] === most[i] ? [name] : [])),
    before: errors(before),
    after: errors(deviation),
  }
}

/** Constants moved by shares in logarithms; shares of a peak stay below it. */
function shifted(start: Efficiency, shifts: readonly number[]): Efficiency {
  const entries = efficiencyFields.map(({ name, most }, index) => {
    const moved = start[name] * Math.exp(shifts[index] ?? 0)
    return [name, Math.min(moved, most)]
  })
  return Object.fromEntries(entries) as Efficiency // a number for each field
}

const priorCurvature = () =>
  efficiencyFields.map((_, i) => efficiencyFields.map((_, j) => (i === j ? 1 / spread.constant ** 2 : 0)))

function sumOf(
  slopes: readonly number[] | undefined,
  deviation: readonly number[],
  weight: (d: number) => number,
): number {
  return (slopes ?? []).reduce(
    (sum, slope, row) => sum + slope * (deviation[row] ?? 0) * weight(deviation[row] ?? 0),
    0,
  )
}

/** Solves a symmetric positive definite system by Cholesky's decomposition. */
function solve(matrix: readonly (readonly number[])[], right: readonly number[]): number[] {
  const n = right.length
  const lower = matrix.map((line) => line.map(() => 0))
  const get = (i: number, j: number) => lower[i]?.[j] ?? 0
  const dot = (i: number, j: number, to: number) => {
    let sum = 0
    for (let k = 0; k < to; k++) sum += get(i, k) * get(j, k)
    return sum
  }
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      const rest = (matrix[i]?.[j] ?? 0) - dot(i, j, j)
      const line = lower[i] as number[] // i < n
      line[j] = i === j ? Math.sqrt(rest) : rest / get(j, j)
    }
  const half: number[] = []
  for (let i = 0; i < n; i++)
    half.push(((right[i] ?? 0) - half.reduce((sum, each, k) => sum + get(i, k) * each, 0)) / get(i, i))
  const result = half.map(() => 0)
  for (let i = n - 1; i >= 0; i--) {
    let sum = half[i] ?? 0
    for (let k = i + 1; k < n; k++) sum -= get(k, i) * (result[k] ?? 0)
    result[i] = sum / get(i, i)
  }
  return result
}
