import type { ModelArchitecture } from '@shardloom/models'
import type { SpecInput } from 'shardloom'
import { clusterOfRow, knownHardware } from '../hardware.js'
import { meaningOf } from '../meaning.js'
import { modelOf, unknownModel } from '../models.js'
import { precisionLacks, typesOf } from '../precision.js'
import type { Recipe } from './recipes.js'
import { type Row, recomputeWords } from './row.js'
import { type Source, sourceOf } from './sources.js'

/** What a row becomes: specs to choose from, where it leaves something open, or what keeps it from being one. */
export interface RowSpecs {
  readonly source: Source
  /** Fields that the row lacks, and others that nothing is known of. */
  readonly lacks: readonly string[]
  readonly model?: ModelArchitecture
  /** Groups from the best to the last resort: of the first group of which one fits, the fastest that fits is meant. */
  readonly choices: readonly (readonly SpecInput[])[]
}

type Options = NonNullable<SpecInput['options']>
/** By operators, or in the words of a row. */
type Recompute = Exclude<NonNullable<Options['recompute']>, string> | string

/** What a checkpoint policy that keeps every second product and attention computes again (torchtitan, `parallelize_llama`). */
const perOperator: NonNullable<Options['recompute']> = {
  full: { except: { name: ['q', 'v', 'gate', 'down', 'score', 'softmax', 'context'] } },
  border: 'again',
}

/** The microbatches that are tried where a row names none. */
const microbatches = [1, 2, 4, 8, 16]

/** The specs of a row. What its publication states beside the rows is chosen, but still lacking in the row. */
export function specsOf(row: Row): RowSpecs {
  const source = sourceOf(row.source)
  const stated = source.microbatch?.(row.model, row.note ?? '')
  const cp = row.cp ?? 1
  const [tp, pp] = [row.tp ?? 1, row.pp ?? 1]
  const dp = row.dp ?? (row.gpus ?? 1) / (tp * pp * cp)
  const lacks = (['gpus', 'tp', 'pp', 'seq'] as const).filter((field) => row[field] === null) as string[]
  const fatal = [...lacks]
  const open = (field: string, is: boolean) => is && lacks.push(field)
  const perLayer = /per layer/i.test(row.metric)
  open('dp', row.dp === null)
  open('global_batch', row.global_batch === null && !perLayer)
  open('micro_batch', row.micro_batch === null)
  open('recompute', row.recompute === null)
  open('vp', source.openVirtual === true && pp > 1 && row.vp === null)
  open('precision', row.precision === null)
  const model = withTraining(modelOf(row.model), source, row)
  const cluster = source.cluster ?? clusterOfRow(row)
  const refuse = (what: string, is: boolean) => is && fatal.push(what)
  refuse(unknownModel(row.model), !model)
  refuse(meaningOf('hardware', row.hardware, knownHardware), cluster === undefined)
  fatal.push(...precisionLacks(row.precision))
  const again = row.recompute ?? 'none'
  refuse(meaningOf('recompute', again, recomputeWords), !recomputeWords.includes(again))
  refuse('a trainer of low-rank adapters', /LoRA/.test(row.source))
  refuse('a mesh of all its ranks', !Number.isInteger(dp) || dp * tp * pp * cp !== row.gpus)
  const all = [...new Set([...lacks, ...fatal])]
  if (fatal.length > 0 || !model) return { source, lacks: all, choices: [] }
  const slots = stated ?? { microbatch: undefined, microbatches: undefined }
  const batch =
    row.global_batch ?? (stated ? stated.microbatch * stated.microbatches * dp : (row.micro_batch ?? 1) * dp)
  const own = row.micro_batch ?? slots.microbatch ?? (source.wholeBatch ? batch / dp : undefined)
  const sizes = [own ?? microbatches].flat().filter((size) => batch % (size * dp) === 0)
  const recipe = source.recipe?.(row)
  // What is recomputed in part is what the recipe names.
  const isPart = row.recompute === null || /selective/.test(row.recompute)
  const recompute = (isPart ? recipe?.recompute : undefined) ?? row.recompute ?? source.recompute
  const recomputes = recompute === undefined ? (['none', 'full'] as const) : [recompute]
  const choices = recomputes.map((recompute) =>
    sizes.flatMap((microbatch) =>
      virtualsOf(row, source, depthOf(model)).map(
        (virtual): SpecInput => ({
          model: { ...model },
          cluster: cluster as NonNullable<SpecInput['cluster']>, // refused above where there is none
          batch,
          microbatch,
          seq: row.seq ?? 1,
          parallel: { dp, tp, pp, cp, ep: row.ep ?? 1 },
          options: withReduction(
            optionsOf(row, source, recipe, recompute, virtual, depthOf(model)),
            batch / (microbatch * dp),
          ),
        }),
      ),
    ),
  )
  return { source, lacks: all, model, choices }
}

/** A single microbatch hands its gradients over as backward makes them; of several only the sum is reduced. */
function withReduction(options: Options, slots: number): Options {
  if (slots > 1 || options.dp?.reduce === undefined) return options
  return { ...options, dp: { ...options.dp, reduce: 'microbatch' } }
}

function depthOf({ order }: ModelArchitecture): number {
  return order.runs.reduce((sum, { count }) => sum + count, 0) * (order.repeat ?? 1)
}

/** The model as it was trained: with dropout, and with positions for the row's sequence. */
function withTraining(model: ModelArchitecture | undefined, { dropout }: Source, { seq }: Row) {
  if (!model) return undefined
  const { dropout: _, ...rest } = model
  const positions = Math.max(seq ?? 1, model.maxPositions ?? 1)
  return {
    ...rest,
    ...(dropout !== undefined && { dropout }),
    ...(model.learnedPositions !== undefined && { learnedPositions: positions }),
    ...(model.maxPositions !== undefined && { maxPositions: positions }),
  }
}

/** Chunks per rank; where a note names an interleaved schedule without a number, those that are tried. */
function virtualsOf({ vp, pp, note }: Row, { lightEnds, openVirtual }: Source, depth: number): readonly number[] {
  if (openVirtual && vp === null && (pp ?? 1) > 1) {
    const most = (depth + (lightEnds ? 2 : 0)) / (pp ?? 1)
    return [1, 2, 4, 7, 8].filter((virtual) => most % virtual === 0)
  }
  return lightEnds && /^1F1B-I/.test(note ?? '') ? [2] : [vp ?? 1]
}

function optionsOf(
  row: Row,
  source: Source,
  recipe: Recipe | undefined,
  recompute: Recompute,
  virtual: number,
  depth: number,
): Options {
  const { pp, zero, sp, note } = row
  const { dtype, isEight } = typesOf(row.precision)
  const schedule = scheduleOf(note ?? '', virtual, source.schedule)
  const chunks = (pp ?? 1) * virtual
  const even = (depth + (source.lightEnds ? 2 : 0)) / chunks
  const layers = Array.from({ length: chunks }, (_, index) =>
    source.lightEnds && (index === 0 || index === chunks - 1) ? even - 1 : even,
  )
  return {
    ...source.options,
    ...recipe?.options,
    ...(dtype && { dtype }),
    engine: engineOf(row, source, recipe),
    ...(isEight && { linearDtype: 'fp8' as const }),
    recompute: recomputeOf(recompute, row),
    ...(zero !== null && { zero, ...(source.gathersOnce && zero === 3 ? {} : { dp: {} }) }),
    ...(sp !== null && { sequenceParallel: sp > 0 }),
    ...((row.cp ?? 1) === 1 && { sp: {} }),
    ...((row.tp ?? 1) === 1 && { sequenceParallel: false }),
    ...((pp ?? 1) > 1 && { schedule, ...(virtual > 1 && { virtual }) }),
    ...((pp ?? 1) > 1 && source.lightEnds && Number.isInteger(even) && { pp: { layers } }),
  }
}

function scheduleOf(note: string, virtual: number, usual = '1f1b'): string {
  if (/^ZB-1p/.test(note)) return 'zbh1'
  if (/^ZB-2p/.test(note)) return 'zbh2'
  if (/dualpipe/i.test(note)) return 'dualpipe'
  return virtual > 1 ? 'interleaved1f1b' : usual
}

function recomputeOf(recompute: Recompute, { source }: Row): NonNullable<Options['recompute']> {
  if (typeof recompute !== 'string') return recompute
  const isPerOperator = /per op/.test(recompute) || (recompute === 'selective' && /^torchtitan/.test(source))
  if (isPerOperator) return perOperator
  if (/selective/.test(recompute)) return { selective: {}, tail: 'kept' }
  return /full/.test(recompute) ? 'full' : 'none'
}

/** What the note of a row says of the software that ran it. */
function engineOf(
  { note, precision, source: name }: Row,
  { engine }: Source,
  recipe: Recipe | undefined,
): NonNullable<Options['engine']> {
  if (recipe) return { preset: engine, ...recipe.engine }
  if (!/^torchtitan/.test(name)) return engine
  const isAsync = /async ?tp/i.test(note ?? '')
  const isEager = /^FSDP$/.test(note ?? '')
  const preset = isEager ? 'torchtitan-eager' : isAsync ? 'torchtitan-async' : engine
  return /rowwise/i.test(precision ?? '') ? { preset, castBytes: 24 } : preset
}
