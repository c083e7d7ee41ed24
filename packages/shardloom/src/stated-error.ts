/**
 * The relative error that simulated times are stated to be good for: of accelerators whose constants were fitted, more than in
 * any run in table 5 of Korthikanti et al. (2022); of others, what such models err by on a system that they have not seen.
 */
export function statedError(fitted: boolean): number {
  return fitted ? 0.07 : 0.15
}
