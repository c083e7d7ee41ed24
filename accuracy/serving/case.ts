import type { ModelArchitecture } from '@shardloom/models'
import type { SpecInput } from 'shardloom'
import { clusterOfRow, knownHardware } from '../hardware.js'
import { meaningOf } from '../meaning.js'
import { modelOf, unknownModel } from '../models.js'
import { precisionLacks, typesOf } from '../precision.js'
import { type Measured, metricLacks, unitOf } from './metric.js'

/** How requests came: from clients each of which waits for its answer, or at a rate per second, infinite for all at once. */
export type Arrival = { readonly clients: number } | { readonly rate: number }

/** What a row of measured inference says, in whatever shape; what it does not say is left out. */
export interface Said {
  readonly source: string
  readonly model?: string | undefined
  readonly hardware?: string | undefined
  readonly ranks?: number | undefined
  readonly precision?: string | undefined
  readonly degrees?: Readonly<Record<'tp' | 'pp' | 'dp' | 'ep', number>> | undefined
  /** Tokens of a prompt, and tokens that are generated. */
  readonly input?: number | undefined
  readonly output?: number | undefined
  readonly measured: readonly Measured[]
  /** What else keeps it from being predicted. */
  readonly lacks: readonly string[]
}

/** A row of an engine under load. */
export interface SaidOfServing extends Said {
  readonly engine?: string | undefined
  /** The row's own words for its engine. */
  readonly software?: string | undefined
  readonly arrival?: Arrival | undefined
  readonly requests?: number | undefined
  /** Whether the benchmark runs the engine itself, without a server: nothing is sent token by token. */
  readonly isOffline?: boolean
}

/** A spec with what was measured of it. */
export interface Case {
  readonly source: string
  readonly model: string
  readonly hardware: string
  /** Model, software and types: rows that are summed up together. */
  readonly group: string
  readonly layout: string
  readonly spec: SpecInput
  readonly measured: readonly Measured[]
}

/** A row that is not predicted, and why. */
export interface Lacking {
  readonly source: string
  readonly model: string
  readonly hardware: string
  readonly metric: string
  readonly unit: string
  readonly lacks: readonly string[]
}

/** Types of products that engines are predicted with. */
export const servedTypes = ['bf16', 'fp16', 'fp8'] as const

/** What serving and static batches need alike, or what of it is lacking. */
export function partsOf(said: Said) {
  const { model, hardware, precision = 'bf16', degrees, ranks, input, output } = said
  const architecture = model === undefined ? undefined : modelOf(model)
  const cluster = clusterOfRow({ hardware: hardware ?? '', gpus: ranks ?? null })
  const { isEight } = typesOf(precision)
  const world = degrees && degrees.tp * degrees.pp * degrees.dp
  const measured = said.measured.filter((each) => unitOf(each) !== undefined)
  const lacks = [
    ...said.lacks,
    ...(model === undefined ? ['model'] : architecture ? [] : [unknownModel(model)]),
    ...(hardware === undefined
      ? ['hardware']
      : cluster === undefined
        ? [meaningOf('hardware', hardware, knownHardware)]
        : []),
    ...(degrees === undefined ? ['parallelism'] : []),
    ...(ranks !== undefined && world !== undefined && world !== ranks ? ['a mesh of all its ranks'] : []),
    ...(input === undefined ? ['isl'] : []),
    ...(output === undefined ? ['osl'] : []),
    ...precisionLacks(precision, servedTypes),
    ...(said.measured.length === 0 ? ['a measured value'] : said.measured.flatMap(metricLacks)),
  ]
  return { architecture, cluster, isEight, lacks, measured }
}

/** The case of a row under load, or what it lacks. */
export function servingCase(said: SaidOfServing): Case | Lacking {
  const {
    source,
    model = '',
    hardware = '',
    engine,
    arrival,
    requests,
    precision = 'bf16',
    degrees,
    input = 1,
    output = 1,
    isOffline,
  } = said
  const { architecture, cluster, isEight, lacks, measured } = partsOf(said)
  const missing = [
    ...lacks,
    ...(engine ? [] : [said.software === undefined ? 'an engine' : meaningOf('engine', said.software, knownEngines)]),
    ...(arrival || said.lacks.length > 0 ? [] : ['how requests came']),
  ]
  if (missing.length > 0 || !degrees || !arrival || !architecture || !cluster) return lacking(said, missing)
  const { tp, pp, dp, ep } = degrees
  const spec: SpecInput = {
    model: { ...architecture },
    cluster,
    phase: 'serving',
    batch: dp * pp,
    seq: input,
    parallel: { tp, pp, dp, ep },
    options: {
      ...(isEight && { weightDtype: 'fp8' }),
      // TensorRT-LLM stores the cache as quantised checkpoints say; the others in the type of activations.
      ...(isEight && engine === 'tensorrt-llm' && { cacheDtype: 'fp8' }),
      serving: {
        ...(engine !== undefined && { engine }),
        // Rows are of vLLM of 2025 (0.12 where they say), which did not wait until a whole prompt has room.
        ...(engine === 'vllm' && { scheduler: { admission: 'chunk' as const } }),
        ...(isOffline && { host: { sequence: 0, request: 0 } }),
        load: {
          ...('clients' in arrival ? arrival : { rate: Math.min(arrival.rate, allAtOnce) }),
          ...(requests !== undefined && { requests }),
          ...lengthsOf(architecture, arrival, input, output),
        },
      },
    },
  }
  return {
    source,
    model,
    hardware,
    group: `${shortName(model)}, ${engine}, ${precision.toLowerCase()}${isOffline ? ', offline' : ''}`,
    layout: `${layoutOf(degrees)}, ${arrivalText(arrival)}, ${input} in, ${output} out`,
    spec,
    measured,
  }
}

/** Engines as rows may name them. */
const knownEngines = ['vllm', 'sglang', 'trtllm']

/** Requests per second at which those of a benchmark have all come before the first is answered. */
const allAtOnce = 1e6

function arrivalText(arrival: Arrival): string {
  if ('clients' in arrival) return `${arrival.clients} clients`
  return Number.isFinite(arrival.rate) ? `${arrival.rate} requests/s` : 'all at once'
}

/** What a row lacks whose metric the simulation has no value of, such as time per output token where there is one. */
export const noValue = 'a value of its metric in what is simulated'

/** A row with what it lacks, under the metric that it measured first. */
export function lacking(
  { source, model = '', hardware = '', measured: [first] }: Said,
  lacks: readonly string[],
): Lacking {
  return { source, model, hardware, metric: first?.metric ?? '', unit: first?.unit ?? '', lacks: [...new Set(lacks)] }
}

/** A model without who publishes it. */
export const shortName = (model: string) => model.replace(/^.*\//, '')

/** The degrees above 1. */
export function layoutOf(degrees: Readonly<Record<string, number>>): string {
  const above = Object.entries(degrees).filter(([, degree]) => degree > 1)
  return above.map(([axis, degree]) => `${axis} ${degree}`).join(' ') || '1 rank'
}

/**
 * The lengths of a row's requests. InferenceMAX draws both evenly from 0.8 of what it states up to that (its README: random range ratio
 * 0.8). Of other closed loops it is not known; that outputs differ is assumed: clients whose requests end together would stay in step,
 * and would wait for each other's prompts for longer than was measured. Requests that come at a rate are of the lengths stated.
 */
function lengthsOf({ name }: ModelArchitecture, arrival: Arrival, input: number, output: number) {
  const isInferenceMax =
    /Llama.3\.1.70B|DeepSeek|gpt-oss/i.test(name) &&
    ['1024 1024', '1024 8192', '8192 1024'].includes(`${input} ${output}`)
  const spread = (length: number, from: number, to: number) => ({
    from: Math.round(from * length),
    to: Math.round(to * length),
  })
  if (!('clients' in arrival)) return { input, output }
  if (isInferenceMax) return { input: spread(input, 0.8, 1), output: spread(output, 0.8, 1) }
  return { input, output: spread(output, 0.8, 1.2) }
}
