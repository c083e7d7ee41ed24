import type { EfficiencyFile } from './load-efficiency.js'

/**
 * Relative errors of simulated times. `fitted`: steps on accelerators whose constants were fitted, more than in any run in table 5 of
 * Korthikanti et al. (2022). `usual`: what such models err by on a system that they have not seen. `tpot`, `ttft`: serving by the engine
 * that comes out worst on the accelerator that its host was fitted on, a mean over its rows in NVIDIA's aiconfigurator (H100, H200).
 */
const errors = { fitted: 0.07, usual: 0.15, tpot: 0.06, ttft: 0.2 } as const

/** Where the constants of kernels come from. */
interface Constants {
  /** Whether those that are known were fitted to the accelerator. */
  readonly fitted: boolean
  /** The file of constants that stands in for them. */
  readonly file?: EfficiencyFile | undefined
}

/**
 * The relative error that simulated times of a step are stated to be good for. A file of constants is good for no less than the mean
 * error that its fit left; one that does not say, or whose steps are fewer than the constants that they had to settle, counts as unmeasured.
 */
export function statedError({ fitted, file }: Constants): number {
  if (!file) return fitted ? errors.fitted : errors.usual
  const { fit } = file
  if (!fit) return errors.usual
  return Math.max(fit.meanError, fit.steps < fit.constants ? errors.usual : errors.fitted)
}

/** The relative errors that times of serving are stated to be good for. */
export interface ServingError {
  readonly tpot: number
  readonly ttft: number
}

/**
 * Of serving: those of the engines' own rows where host and accelerator are those that were `measured` together; elsewhere the error of
 * kernels, or of a host that is not the engine's own or has stages to feed, comes to them as one that is independent of them.
 */
export function statedServingError(
  constants: Constants,
  measured: { readonly accelerator: boolean; readonly host: boolean },
): ServingError {
  const { tpot, ttft } = errors
  if (measured.accelerator && measured.host && !constants.file) return { tpot, ttft }
  const kernels = statedError(constants)
  const added = measured.host ? kernels : Math.max(kernels, errors.usual)
  return { tpot: Math.hypot(tpot, added), ttft: Math.hypot(ttft, added) }
}
