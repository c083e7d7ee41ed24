import { finish, ShardloomError, type Work } from '@shardloom/core'
import { formatCounted } from '@shardloom/exporters'
import {
  type Calibration,
  calibrationWork,
  type Efficiency,
  efficiencyFields,
  efficiencyOf,
  type Measurement,
  machineOf,
  runStep,
} from '@shardloom/simulator'
import { clusterOf } from './cluster-of.js'
import { errorNaming } from './error-naming.js'
import type { EfficiencyFile } from './load-efficiency.js'
import type { LoadedSpec } from './plan.js'
import { machineOfSpec, timedPlan } from './simulate-plan.js'

/** A step that was measured. */
export interface MeasuredSpec {
  readonly loaded: LoadedSpec
  readonly seconds: number
  /** What errors call it, such as `row 3`. */
  readonly name?: string
}

/** What came of a calibration: the file to write, and how well it fits. */
export interface CalibrationSummary extends Pick<Calibration, 'settled' | 'bounded' | 'before' | 'after'> {
  readonly schema: 'shardloom.calibrate/1'
  readonly measurements: number
  /** The constants that were started from. */
  readonly start: Efficiency
  /** What each constant is in: seconds, elements, or a share of what. */
  readonly units: Readonly<Record<string, string>>
  /** Of each measurement the seconds that were measured, and those that the fitted constants predict. */
  readonly steps: readonly { readonly measured: number; readonly predicted: number }[]
  readonly file: EfficiencyFile
}

/** Up to which share of being settled measurements do not depend on a constant: rounding. */
const negligible = 1e-9

/**
 * Fits the constants of the accelerator that all specs run on to their measured seconds. Each spec is planned once, equal ones
 * together, and simulated for every set of constants that is tried. Throws `NO_CLUSTER`, `CALIBRATE` for specs of several
 * accelerators, and what planning throws.
 */
export function calibrateSpecs(measured: readonly MeasuredSpec[]): CalibrationSummary {
  return finish(calibrationOfSpecsWork(measured))
}

/** {@link calibrateSpecs} as work that can be stopped. What planning a measurement throws begins with its `name`. */
export function* calibrationOfSpecsWork(measured: readonly MeasuredSpec[]): Work<CalibrationSummary> {
  const names = [...new Set(measured.map(({ loaded }) => loaded.cluster?.accelerator.name))]
  const [accelerator] = names
  const [first] = measured
  for (const { loaded } of measured) clusterOf(loaded)
  if (accelerator === undefined || first === undefined || names.length > 1) {
    throw new ShardloomError(
      'CALIBRATE',
      `The measurements are of ${names.length > 1 ? names.join(' and ') : 'no cluster'}.`,
      {
        subject: 'cluster',
        help: 'Give each a `cluster`, and fit one accelerator at a time.',
      },
    )
  }
  const start = efficiencyOf(clusterOf(first.loaded).accelerator).values
  const predictions = new Map<string, Measurement['predict']>()
  const measurements: Measurement[] = []
  for (const [index, { loaded, seconds, name }] of measured.entries()) {
    // Plugins are functions, of which a key says nothing.
    const key = JSON.stringify(loaded.plugins.length > 0 ? index : loaded)
    let predict = predictions.get(key)
    if (predict === undefined) {
      yield { work: 'planning', done: index, of: measured.length }
      predict = predictionOf(loaded, name)
      predictions.set(key, predict)
    }
    measurements.push({ seconds, predict })
  }
  const { values, settled, bounded, before, after } = yield* calibrationWork(start, measurements)
  return {
    schema: 'shardloom.calibrate/1',
    measurements: measured.length,
    start,
    units: Object.fromEntries(efficiencyFields.map(({ name, unit }) => [name, unit])),
    steps: measured.map(({ seconds }, index) => ({
      measured: seconds,
      predicted: seconds * (1 + (after[index] ?? 0)),
    })),
    settled,
    bounded,
    before,
    after,
    file: {
      schema: 'shardloom.efficiency/1',
      accelerator,
      source: `fitted to ${formatCounted(measured.length, 'measured step')}`,
      fit: {
        measurements: measured.length,
        steps: predictions.size,
        constants: Object.values(settled).filter((share) => share > negligible).length,
        meanError: after.reduce((sum, each) => sum + Math.abs(each), 0) / after.length,
      },
      values,
    },
  }
}

/** What a spec takes by any constants: each set of them is simulated once. */
function predictionOf(loaded: LoadedSpec, name: string | undefined): Measurement['predict'] {
  const { timed, machine } = timedOn(loaded, name)
  const { cluster, engine, productType } = machine
  const { mesh } = timed.program
  const known = new WeakMap<Efficiency, number>()
  return (efficiency) => {
    const before = known.get(efficiency)
    if (before !== undefined) return before
    const own = { ...engine, efficiency }
    const { seconds } = runStep(timed.program, timed.operators, machineOf(cluster, mesh, own, productType))
    known.set(efficiency, seconds)
    return seconds
  }
}

function timedOn(loaded: LoadedSpec, name: string | undefined) {
  try {
    const timed = timedPlan(loaded)
    return { timed, machine: machineOfSpec(loaded, timed) }
  } catch (cause) {
    throw name === undefined ? cause : errorNaming(name, cause)
  }
}
