import { ShardloomError } from '@shardloom/core'
import { type Calibration, calibrate, type Efficiency, efficiencyOf, machineOf, runStep } from '@shardloom/simulator'
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
  readonly file: EfficiencyFile
}

/**
 * Fits the constants of the accelerator that all specs run on to their measured seconds. Each spec is planned once, and simulated
 * for every set of constants that is tried. Throws `CALIBRATE` for specs of several accelerators, and what planning throws.
 */
export function calibrateSpecs(measured: readonly MeasuredSpec[]): CalibrationSummary {
  const names = [...new Set(measured.map(({ loaded }) => loaded.cluster?.accelerator.name))]
  const [accelerator] = names
  if (accelerator === undefined || names.length > 1) {
    throw new ShardloomError(
      'CALIBRATE',
      `The measurements are of ${names.length > 1 ? names.join(' and ') : 'no cluster'}.`,
      {
        subject: 'cluster',
        help: 'Give each a `cluster`, and fit one accelerator at a time.',
      },
    )
  }
  const start = efficiencyOf({ name: accelerator }).values
  const measurements = measured.map(({ loaded, seconds }) => {
    const timed = timedPlan(loaded)
    const { cluster, engine, productType } = machineOfSpec(loaded, timed)
    const { mesh } = timed.program
    return {
      seconds,
      predict: (efficiency: Efficiency) => {
        // What the engine fixes stays as it is.
        const own = { ...engine, efficiency: { ...efficiency, ...engine.efficiency } }
        return runStep(timed.program, timed.operators, machineOf(cluster, mesh, own, productType)).seconds
      },
    }
  })
  const { values, settled, before, after } = calibrate(start, measurements)
  return {
    schema: 'shardloom.calibrate/1',
    measurements: measured.length,
    start,
    settled,
    before,
    after,
    file: {
      schema: 'shardloom.efficiency/1',
      accelerator,
      source: `fitted to ${measured.length} measured ${measured.length === 1 ? 'step' : 'steps'}`,
      values,
    },
  }
}
