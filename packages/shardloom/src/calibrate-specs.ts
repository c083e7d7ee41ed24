import { ShardloomError } from '@shardloom/core'
import {
  type Calibration,
  calibrate,
  type Efficiency,
  efficiencyFields,
  efficiencyOf,
  type Measurement,
  machineOf,
  runStep,
} from '@shardloom/simulator'
import { clusterOf } from './cluster-of.js'
import type { EfficiencyFile } from './load-efficiency.js'
import type { LoadedSpec } from './plan.js'
import { machineOfSpec, timedPlan } from './simulate-plan.js'

/** A step that was measured. */
export interface MeasuredSpec {
  readonly loaded: LoadedSpec
  readonly seconds: number
}

/** What came of a calibration: the file to write, and how well it fits. */
export interface CalibrationSummary extends Pick<Calibration, 'settled' | 'before' | 'after'> {
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

/** What a calibration lets others take part in. */
export interface CalibrationHooks {
  /** Runs the planning of the measurement at `index`, such as to name it in errors. */
  readonly planning?: <Result>(index: number, plan: () => Result) => Result
  /** Hears what is done next: the measurement that is planned, or the round of the fit, and of how many at most. */
  readonly told?: (work: 'planning' | 'fitting', number: number, most: number) => void
}

/**
 * Fits the constants of the accelerator that all specs run on to their measured seconds. Each spec is planned once, equal ones
 * together, and simulated for every set of constants that is tried. Throws `NO_CLUSTER`, `CALIBRATE` for specs of several
 * accelerators, and what planning throws.
 */
export function calibrateSpecs(measured: readonly MeasuredSpec[], hooks: CalibrationHooks = {}): CalibrationSummary {
  const { planning = (_, plan) => plan(), told = () => {} } = hooks
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
  const measurements = measured.map(({ loaded, seconds }, index): Measurement => {
    // Plugins are functions, of which a key says nothing.
    const key = JSON.stringify(loaded.plugins.length > 0 ? index : loaded)
    const known = predictions.get(key)
    if (known === undefined) told('planning', index + 1, measured.length)
    const predict = known ?? planning(index, () => predictionOf(loaded))
    predictions.set(key, predict)
    return { seconds, predict }
  })
  const { values, settled, before, after } = calibrate(start, measurements, (round, most) =>
    told('fitting', round, most),
  )
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
    before,
    after,
    file: {
      schema: 'shardloom.efficiency/1',
      accelerator,
      source: `fitted to ${measured.length} measured ${measured.length === 1 ? 'step' : 'steps'}`,
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
function predictionOf(loaded: LoadedSpec): Measurement['predict'] {
  const timed = timedPlan(loaded)
  const { cluster, engine, productType } = machineOfSpec(loaded, timed)
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
