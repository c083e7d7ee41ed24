import type { Accelerator } from '@shardloom/cluster'

/**
 * What kernels reach of an accelerator's peaks. Each is a physical quantity that a benchmark can measure; none depends on a
 * model, a strategy or a row of a table.
 */
export interface Efficiency {
  /** Share of the matrix units' peak that long matmuls sustain. */
  readonly matmul: number
  /** The same for types of one byte. */
  readonly matmul8: number
  /** Share of memory bandwidth that element-wise kernels sustain. */
  readonly memory: number
  /** The same of kernels that do little but read: products of few rows, attention of few queries over a cache. */
  readonly reading: number
  /** Share of the time of writing a matmul's result that its computing does not hide. */
  readonly write: number
  /** What filling a tile's pipeline costs, in elements of the contracted dim. */
  readonly prologue: number
  /** Seconds that a kernel takes beside its work. */
  readonly kernelSeconds: number
  /** Share of the peak that batched matmuls of materialised attention sustain. */
  readonly batched: number
  /** Share of the peak that fused attention with heads of 128 sustains, forward and backward. */
  readonly flashForward: number
  readonly flashBackward: number
  /** Share of the time in which communication runs beside computing by which it slows computing down. */
  readonly contention: number
}

/** Each constant with the most that it can be, and its unit. */
export const efficiencyFields: readonly {
  readonly name: keyof Efficiency
  readonly most: number
  readonly unit: string
}[] = [
  { name: 'matmul', most: 1, unit: 'of peak' },
  { name: 'matmul8', most: 1, unit: 'of peak' },
  { name: 'memory', most: 1, unit: 'of bandwidth' },
  { name: 'reading', most: 1, unit: 'of bandwidth' },
  { name: 'write', most: 1, unit: 'of its time' },
  { name: 'prologue', most: 10_000, unit: 'elements' },
  { name: 'kernelSeconds', most: 1, unit: 's' },
  { name: 'batched', most: 1, unit: 'of peak' },
  { name: 'flashForward', most: 1, unit: 'of peak' },
  { name: 'flashBackward', most: 1, unit: 'of peak' },
  { name: 'contention', most: 1, unit: 'of its time' },
]

/** The constants of one accelerator, and where they come from. */
export interface EfficiencyRecord {
  readonly values: Efficiency
  readonly source: string
  /** Whether they were fitted to measurements of that accelerator. */
  readonly fitted: boolean
}

const a100: Efficiency = {
  matmul: 0.835,
  matmul8: 0.8,
  memory: 0.87,
  reading: 0.93,
  write: 0.51,
  prologue: 50,
  kernelSeconds: 3e-6,
  batched: 0.37,
  flashForward: 0.6,
  flashBackward: 0.48,
  contention: 0.15,
}
const h100: Efficiency = {
  matmul: 0.578,
  matmul8: 0.68,
  memory: 0.7,
  reading: 0.93,
  write: 0.42,
  prologue: 190,
  kernelSeconds: 2e-6,
  batched: 0.37,
  flashForward: 0.5,
  flashBackward: 0.39,
  contention: 0.12,
}
/**
 * What the twelve products of a layer reach of the peak of matrix units in Transformer Engine's benchmark of them (its documentation,
 * GEMM profiling: hidden size 4096, 15,872 tokens, operands cast before), on an H200 NVL (peaks of 835 and 1,671 TFLOP/s) and on a B300.
 */
const layerProducts = { hopper: { bf16: 0.718, fp8: 0.683 }, b300: { bf16: 0.65, fp8: 0.625 } }
/** What the best shapes reach on a B300 (Bekman, ML Engineering: MAMF). */
const bestOfB300 = { bf16: 0.786, fp8: 0.745 }
/**
 * Like an H100 but for its matrix units. Of what these products reach, training on an H100 sustains 0.8 in bf16 and all in FP8; a Blackwell
 * device is taken to sustain as much of its own: of those of a B300, by what its best shapes reach beside that.
 * Fused attention reaches 37 % of the peak of a B200 where it reaches 45 % of that of Hopper, in a step with 8,192 tokens.
 */
const blackwell = (best: { readonly bf16: number; readonly fp8: number }): EfficiencyRecord => ({
  values: {
    ...h100,
    matmul: h100.matmul * (layerProducts.b300.bf16 / layerProducts.hopper.bf16) * (best.bf16 / bestOfB300.bf16),
    matmul8: h100.matmul8 * (layerProducts.b300.fp8 / layerProducts.hopper.fp8) * (best.fp8 / bestOfB300.fp8),
    flashForward: (h100.flashForward / 0.45) * 0.37,
    flashBackward: (h100.flashBackward / 0.45) * 0.37,
  },
  source:
    "benchmarks of matmuls (Transformer Engine's of a layer, on an H200 NVL and a B300; Bekman, ML Engineering: MAMF) and of fused attention (the same, H200 against B200), of which it is taken to sustain what an H100 does",
  fitted: false,
})
/** Between the two that were fitted: for accelerators of which no measurement is known here. */
const usual: Efficiency = { ...h100, matmul: 0.65, memory: 0.75, prologue: 100, kernelSeconds: 3e-6, contention: 0.13 }

const ofA100: EfficiencyRecord = {
  values: a100,
  source:
    'a fit of a like model to Korthikanti et al. 2022 (tables 4, 5), Narayanan et al. 2021 (table 1) and, at half weight, the README of Megatron-LM of 2020; matmuls and memory bandwidth of this one to these and to Qi et al. 2024 (table 4); fused attention assumed',
  fitted: true,
}
const ofH100: EfficiencyRecord = {
  values: h100,
  source:
    'a fit of a like model to Megatron-LM r0.8, torchtitan of 2024 and 2025 and, at half weight, Megatron-Bridge; batched products as A100',
  fitted: true,
}
/** The same chip beside other memory or with slower links. */
const ofHopper: EfficiencyRecord = { ...ofH100, source: `${ofH100.source}; of an H100, whose chip this one has` }
const records: Readonly<Record<string, EfficiencyRecord>> = {
  'a100-40-sxm': ofA100,
  'a100-80-sxm': ofA100,
  'h100-sxm': ofH100,
  'h200-sxm': ofHopper,
  'h800-sxm': ofHopper,
  'b200-sxm': blackwell({ bf16: 0.776, fp8: 0.763 }),
  gb200: blackwell({ bf16: 0.729, fp8: 0.723 }),
  'b300-sxm': blackwell(bestOfB300),
}

/** What the constants are shares of, or depend on: where these differ, constants carry over, but were not measured. */
const scales = ['peak', 'vectorPeak', 'exponentialPeak', 'memoryBandwidth', 'cacheBytes', 'cores']

/**
 * The constants of an accelerator: fitted ones where there are measurements of it. One that was made from another has the constants of
 * that; they count as fitted where what they are shares of is the same.
 */
export function efficiencyOf({ name, changed }: Pick<Accelerator, 'name' | 'changed'>): EfficiencyRecord {
  const recordOf = (key: string) => (Object.hasOwn(records, key) ? records[key] : undefined)
  const own = recordOf(changed?.from ?? name)
  if (!own) return { values: usual, source: `usual values, since none are measured of ${name}`, fitted: false }
  if (!changed || changed.fields.length === 0) return own
  const scaled = changed.fields.filter((field) => scales.includes(field))
  return scaled.length === 0
    ? { ...own, source: `${own.source}; of ${changed.from}, from which this one differs in ${listOf(changed.fields)}` }
    : {
        values: own.values,
        source: `constants of ${changed.from}, from which this one differs in ${listOf(scaled)}: none are measured of it`,
        fitted: false,
      }
}

const listOf = (fields: readonly string[]) => fields.map((field) => `\`${field}\``).join(', ')
