import { balanceStages } from '@shardloom/search'
import { heldBy, type Model, type StageCost, stageOf } from './estimate.js'
import { chunksOf, partsOf } from './forms.js'
import type { PartState } from './part-state.js'
import { rounding } from './parts.js'
import type { Pipeline } from './pipelines.js'
import { type BlockCosts, secondsIn } from './samples.js'
import { isRefusal, type Refusal } from './step-model.js'

/** A kind of layers that recompute, as a part of a model beside those of {@link partsOf}. */
const again = (kind: string) => `again ${kind}`

/** Costs of which nothing takes or keeps less, whichever of these a layer has; refused where one is. */
export function leastOfCosts(all: readonly (BlockCosts | Refusal)[]): BlockCosts | Refusal {
  const refusal = all.find(isRefusal)
  if (refusal) return refusal
  const [first, ...others] = all as readonly BlockCosts[] // none is a refusal
  if (!first) throw new Error('internal error: there are no costs')
  const parts = new Map(
    Array.from(first.parts, ([part, own]) => {
      const costs = [own, ...others.map(({ parts }) => parts.get(part) ?? own)]
      const least = (of: (cost: typeof own) => number) => Math.min(...costs.map(of))
      const leastOf = (field: 'seconds' | 'kernels') => ({
        F: least((cost) => cost[field].F),
        B: least((cost) => cost[field].B),
        I: least((cost) => cost[field].I),
        W: least((cost) => cost[field].W),
      })
      return [
        part,
        {
          seconds: leastOf('seconds'),
          kernels: leastOf('kernels'),
          keptBytes: least((cost) => cost.keptBytes),
          deferredBytes: least((cost) => cost.deferredBytes),
          workingBytes: least((cost) => cost.workingBytes),
          cacheBytes: least((cost) => cost.cacheBytes),
          copies: own.copies,
          links: {},
        },
      ]
    }),
  )
  return { parts, sendBytes: Math.min(...(all as readonly BlockCosts[]).map(({ sendBytes }) => sendBytes)) }
}

/** Costs of layers as they are, and beside them of those that recompute. */
export function withAgain({ parts, sendBytes }: BlockCosts, full: BlockCosts, kinds: readonly string[]): BlockCosts {
  const own = kinds.flatMap((kind) => {
    const cost = full.parts.get(kind)
    return cost ? [[again(kind), cost] as const] : []
  })
  return { parts: new Map([...parts, ...own]), sendBytes }
}

/** Layers in chunks of a pipeline, each of which recomputes or not. */
export interface Recomputed {
  /** Where each chunk begins, and the last one ends. */
  readonly borders: readonly number[]
  /** Of each chunk how many layers of each kind recompute: the first ones of it. */
  readonly counts: readonly (readonly number[])[]
  readonly stages: readonly StageCost[]
}

/** How many layers of each kind. */
type Counts = readonly number[]

/** What ranks hold if so many of their layers recompute, at each of their times. Bytes. */
type Held = (again: Counts) => readonly number[]

/** What a stage takes beside its layers, in seconds, and what it holds with so many of each kind of which some recompute. */
interface StageLines {
  readonly beside: number
  readonly held: (totals: Counts, again: Counts) => readonly number[]
}

/**
 * Which layers of a pipeline recompute: of each rank as few as it can hold. A layer that recomputes lengthens its own stage and no other,
 * so that nothing is better under Σtᵢ + (m − 1)·max t, nor with the same borders under anything that grows with what stages take. Of the
 * chunks of a rank each recomputes about as many, its first ones. Where no number fits, all do.
 */
export class Recomputing {
  private readonly kinds: readonly string[]
  private readonly parts: readonly string[]
  private readonly model: Model
  /** What a layer of each kind takes of a microbatch, and how much longer if it recomputes. Seconds. */
  private readonly seconds: readonly number[]
  private readonly added: readonly number[]

  /** `model` has costs {@link withAgain}; `room`: bytes that a rank may hold. */
  constructor(
    private readonly pipeline: Pipeline,
    private readonly layers: readonly string[],
    model: Model,
    private readonly room: number,
  ) {
    this.kinds = [...new Set(layers)]
    this.parts = [...partsOf(layers), ...this.kinds.map(again)]
    const states = this.kinds.map((kind) => [again(kind), model.states.get(kind) as PartState] as const) // of every kind
    this.model = { ...model, states: new Map([...model.states, ...states]) }
    this.seconds = this.kinds.map((kind) => secondsIn(this.model, kind))
    this.added = this.kinds.map((kind, at) => secondsIn(this.model, again(kind)) - (this.seconds[at] as number))
  }

  /** The layers that recompute where chunks have these borders. */
  within(borders: readonly number[]): Recomputed {
    const chunks = chunksOf(borders, this.layers, this.parts)
    const counts: Counts[] = []
    const stages: StageCost[] = []
    for (const { ranks, own } of this.sharers(chunks.length)) {
      const totals = this.kinds.map((_, kind) => own.reduce((sum, chunk) => sum + layersIn(chunks, chunk, kind), 0))
      const set = (some: Counts) => {
        const dealt = this.deal(some, own, chunks)
        own.forEach((chunk, index) => {
          counts[chunk] = dealt[index] as Counts
          stages[chunk] = this.costOf(chunks[chunk] as Float64Array, dealt[index] as Counts)
        })
      }
      const held = (some: Counts) => {
        set(some)
        return ranks.flatMap((rank) =>
          heldBy(this.pipeline, rank, (chunk) => stages[chunk] as StageCost, chunks.length),
        )
      }
      set(this.fewest(totals, held) ?? totals)
    }
    return { borders, counts, stages }
  }

  /**
   * Borders of ranks with one chunk each by Alpa's objective (Zheng et al. 2022, section 5.2), of which each takes what it does with as few
   * layers recomputed as fit. Undefined where nothing fits.
   */
  borders(): readonly number[] | undefined {
    const { layers, kinds, pipeline } = this
    const stages = pipeline.schedule.ranks
    const before = kinds.map((kind) => {
      let count = 0
      return [0, ...layers.map((layer) => (layer === kind ? ++count : count))]
    })
    const linesOf = Array.from({ length: stages }, (_, stage) => this.linesOf(stage))
    // Ranges with as many layers of each kind take as long.
    const known = new Map<number, number>()
    const time = (first: number, end: number, stage: number) => {
      let key = stage
      for (const counts of before) key = key * layers.length + (counts[end] as number) - (counts[first] as number)
      const found = known.get(key)
      if (found !== undefined) return found
      const totals = before.map((counts) => (counts[end] as number) - (counts[first] as number))
      const { held, beside } = linesOf[stage] as StageLines
      const again = this.fewest(totals, (some) => held(totals, some))
      const own = totals.reduce((sum, count, kind) => sum + count * (this.seconds[kind] as number), beside)
      const seconds = again ? own + this.addedBy(again) : Number.POSITIVE_INFINITY
      known.set(key, seconds)
      return seconds
    }
    const microbatches = Math.max(2, pipeline.microbatches)
    const found = balanceStages({ layers: layers.length, stages, microbatches, time })
    return found && [0, ...found.stages.map(({ end }) => end)]
  }

  /** What a stage takes beside its layers, and holds with some of them: while the same kinds are there, straight lines. */
  private linesOf(stage: number): StageLines {
    const { kinds, parts, pipeline } = this
    const { ranks } = pipeline.schedule
    const ends = new Float64Array(parts.length)
    if (stage === 0) ends[0] = 1
    if (stage === ranks - 1) ends[1 + kinds.length] = 1
    if (stage === ranks - 1 && stage > 0) ends[2 + kinds.length] = 1
    const heldWith = (counts: Float64Array) => {
      const cost = stageOf(this.model, parts, counts)
      return heldBy(pipeline, stage, () => cost, ranks)
    }
    const places = [...kinds.keys()].flatMap((kind) => [1 + kind, parts.length - kinds.length + kind])
    const heldWithOneOf = (some: readonly number[]) => {
      const counts = ends.slice()
      for (const place of some) counts[place] = (counts[place] as number) + 1
      return heldWith(counts)
    }
    const slopes = places.map((place) => {
      const one = heldWithOneOf([place])
      return heldWithOneOf([place, place]).map((bytes, at) => bytes - (one[at] as number))
    })
    const starts = new Map<number, readonly number[]>()
    /** What is there whatever the numbers of these kinds are. */
    const startOf = (present: number) => {
      const known = starts.get(present)
      if (known) return known
      const own = places.filter((_, index) => present & (1 << index))
      const found = heldWithOneOf(own).map((bytes, at) => {
        return slopes.reduce((sum, slope, index) => (present & (1 << index) ? sum - (slope[at] as number) : sum), bytes)
      })
      starts.set(present, found)
      return found
    }
    const beside = parts.reduce((sum, part, at) => (ends[at] === 0 ? sum : sum + secondsIn(this.model, part)), 0)
    const held = (totals: Counts, again: Counts) => {
      const counts = totals.flatMap((count, kind) => [count - (again[kind] as number), again[kind] as number])
      const present = counts.reduce((all, count, index) => (count > 0 ? all | (1 << index) : all), 0)
      return startOf(present).map((start, at) => {
        return counts.reduce((sum, count, index) => sum + count * (slopes[index]?.[at] as number), start)
      })
    }
    return { beside, held }
  }

  private addedBy(some: Counts): number {
    return some.reduce((sum, count, kind) => sum + count * (this.added[kind] as number), 0)
  }

  private costOf(chunk: Float64Array, some: Counts): StageCost {
    const counts = chunk.slice()
    some.forEach((count, kind) => {
      counts[1 + kind] = (counts[1 + kind] as number) - count
      counts[counts.length - some.length + kind] = count
    })
    return stageOf(this.model, this.parts, counts)
  }

  /** Ranks that have the same chunks, and these. */
  private sharers(count: number): { readonly ranks: readonly number[]; readonly own: readonly number[] }[] {
    const found = new Map<string, { readonly ranks: number[]; readonly own: readonly number[] }>()
    for (const [rank, stages] of this.pipeline.stagesOf.entries()) {
      const sorted = [...new Set(stages.map((stage) => stage % count))].sort((a, b) => a - b)
      const known = found.get(sorted.join()) ?? { ranks: [], own: sorted }
      known.ranks.push(rank)
      found.set(sorted.join(), known)
    }
    return [...found.values()]
  }

  /** Gives each chunk about as many of these layers, the first chunks no fewer. */
  private deal(some: Counts, own: readonly number[], chunks: readonly Float64Array[]): Counts[] {
    const dealt = own.map(() => some.map(() => 0))
    some.forEach((count, kind) => {
      for (let left = count; left > 0; left--) {
        let next: number[] | undefined
        own.forEach((chunk, index) => {
          const each = dealt[index] as number[]
          const isLess = next === undefined || (each[kind] as number) < (next[kind] as number)
          if (isLess && (each[kind] as number) < layersIn(chunks, chunk, kind)) next = each
        })
        if (next) next[kind] = (next[kind] as number) + 1
      }
    })
    return dealt
  }

  /** Those that take least of all that fit. */
  private fewest(totals: Counts, held: Held): Counts | undefined {
    const most = totals.indexOf(Math.max(...totals))
    let best: Counts | undefined
    // Of one kind the number is told, of others each is tried.
    for (const others of allUpTo(totals.map((count, kind) => (kind === most ? 0 : count)))) {
      const of = (count: number) => others.map((other, kind) => (kind === most ? count : other))
      if (best && !(this.addedBy(others) < this.addedBy(best))) continue
      const count = this.fewestOfKind(totals[most] as number, (some) => held(of(some)))
      if (count !== undefined && (!best || this.addedBy(of(count)) < this.addedBy(best))) best = of(count)
    }
    return best
  }

  private fewestOfKind(count: number, held: (some: number) => readonly number[]): number | undefined {
    const fits = (some: number) => Math.max(...held(some)) <= this.room
    if (fits(0)) return 0
    if (count > 1) {
      // While layers of both sorts are there, what is held at a time is a straight line.
      const [one, others] = [held(1), held(count - 1)]
      let [from, to] = [1, count - 1]
      one.forEach((bytes, at) => {
        const slope = ((others[at] as number) - bytes) / Math.max(1, count - 2)
        if (slope === 0) {
          if (bytes > this.room) to = 0
          return
        }
        const edge = 1 + (this.room - bytes) / slope
        if (slope < 0) from = Math.max(from, Math.ceil(edge - rounding))
        else to = Math.min(to, Math.floor(edge + rounding))
      })
      for (let some = from; some <= to; some++) if (fits(some)) return some
    }
    return count > 0 && fits(count) ? count : undefined
  }
}

function layersIn(chunks: readonly Float64Array[], chunk: number, kind: number): number {
  return chunks[chunk]?.[1 + kind] ?? 0
}

/** All lists of numbers from 0 up to each of some. */
function* allUpTo([first, ...rest]: Counts): Generator<Counts> {
  if (first === undefined) return yield []
  for (let count = 0; count <= first; count++) for (const others of allUpTo(rest)) yield [count, ...others]
}
