import { greatestCommonDivisor } from '@shardloom/core'
import { clusterOf } from '../cluster-of.js'
import type { PlannedSpec } from '../sequence.js'
import { byStage, type Choices, recomputations, type Value } from './choices.js'
import { type FastestLinks, fastestLinks } from './fastest-links.js'
import { isDividedAgain, isMultiplying } from './groups.js'
import type { Group } from './place.js'
import { type BlockCosts, kernelsAlone, Samples } from './samples.js'
import { isRefusal, type Placed, type StepModel } from './step-model.js'

/** Seconds of a microbatch through the whole model, and through the shortest of its layers. */
interface Through {
  readonly seconds: number
  readonly forward: number
  readonly backward: number
}

const nothing: Through = { seconds: 0, forward: 0, backward: 0 }

/** What steps of a group of candidates take at least, told from a few samples that many groups share. Seconds. */
export class LeastWork {
  private readonly known = new Map<string, Through>()
  private readonly ofGroups = new Map<string, number>()
  /** By how far apart ranks lie. */
  private readonly links = new Map<number, FastestLinks>()
  /** Samples of short sequences. */
  private readonly short: Samples | undefined
  private readonly shortSeq: number

  constructor(private readonly model: StepModel) {
    const { loaded, pipelines } = model
    const seq = greatestCommonDivisor(loaded.spec.seq, shortest)
    this.shortSeq = seq
    // Inference computes some things once per sequence, of which shorter ones are more.
    if (model.isTraining) this.short = new Samples({ ...loaded, spec: { ...loaded.spec, seq } }, pipelines)
  }

  /** No step of a group's candidates takes less, but for rounding, whose microbatches have as many sequences as divide `largest`. */
  of(group: Group, largest: number, overlaps = this.model.overlaps): number {
    const { level } = this.linksOfTp(group)
    const key = `${group.stored} ${group.choices['recompute']} ${group.world} ${largest} ${overlaps} ${level}`
    const known = this.ofGroups.get(key)
    if (known !== undefined) return known
    const found = Math.max(this.atOnce(group, overlaps), this.inMicrobatches(group, largest, overlaps))
    this.ofGroups.set(key, found)
    return found
  }

  /** What one layer takes at least of a microbatch of so many sequences, in each direction. */
  layer(group: Group, microbatch: number): { readonly forward: number; readonly backward: number } {
    return this.shortened(group, microbatch, false) ?? nothing
  }

  /**
   * What ranks compute together takes no less than the whole batch at once on one of them, as nothing is done faster for being divided,
   * and one of them does no less than its share; nor where one axis divides the model, on the fastest links, and all others divide what
   * that leaves.
   */
  private atOnce({ choices, world }: Group, overlaps: boolean): number {
    const { model } = this
    const own = this.ownOf(choices)
    // Ranks that experts divide once more divide these, and not what is in them, as they would alone.
    const divided = isDividedAgain(choices)
    const axes = Object.keys(choices).filter(
      (name) =>
        model.isDegree(name) &&
        choices[name] !== 1 &&
        !(divided && isMultiplying(name, model)) &&
        // Of keys and values that tp repeats `dcp` divides the copies.
        !(name === 'tp' && (choices['dcp'] ?? 1) !== 1),
    )
    const all = axes.map((axis) => {
      const degree = Number(choices[axis])
      const { sequenceParallel = false } = choices
      const seconds = this.wholeBatch({ ...own, ...(axis === 'tp' && { sequenceParallel }) }, overlaps, axis, degree)
      return isMultiplying(axis, model) ? degree * seconds : seconds
    })
    return Math.max(this.wholeBatch(own, overlaps), ...all) / world
  }

  /** What the whole batch takes at once, on the ranks of one axis or on one rank alone; 0 where that cannot be. */
  private wholeBatch(own: Choices, overlaps: boolean, axis = 'tp', degree = 1): number {
    const { model } = this
    // What divides the ranks of dp once more has a batch for each of them.
    const dp = isMultiplying(axis, model) ? 1 : degree
    const degrees = { dp, [axis]: degree }
    const choices = { sequenceParallel: false, ...own, ...degrees, microbatch: model.base.batch }
    return this.through(choices, model.samples, overlaps).seconds
  }

  /** The whole batch in the largest microbatches, as nothing is done faster in smaller pieces. */
  private inMicrobatches(group: Group, largest: number, overlaps: boolean): number {
    const { batch, parallel } = this.model.loaded.spec
    const { seconds } = this.shortened(group, largest, overlaps) ?? nothing
    return (batch * seconds) / (parallel.replicas * group.ranks * largest)
  }

  /**
   * A microbatch of as many positions as each rank has that divides sequences, of fewer sequences that are short, in which attention is less; tp
   * lies on the fastest links that it may have. Undefined where that cannot be.
   */
  private shortened(group: Group, sequences: number, overlaps: boolean): Through | undefined {
    const { choices } = group
    const { short, model } = this
    const { spec } = model.loaded
    if (!short || isDividedAgain(choices) || model.axes.some((axis) => (choices[axis] ?? 1) !== 1)) return undefined
    const degree = (axis: 'tp' | 'cp' | 'ulysses') => Number(choices[axis] ?? spec.parallel[axis])
    const positions = (sequences * spec.seq) / (degree('cp') * degree('ulysses'))
    const microbatch = Math.floor(positions / this.shortSeq)
    if (microbatch === 0) return undefined
    const { sequenceParallel = false } = choices
    const alone = { ...this.ownOf(choices), sequenceParallel, tp: degree('tp'), microbatch }
    return this.through(alone, short, overlaps, this.shortSeq, this.linksOfTp(group))
  }

  /** A microbatch through the whole model on ranks of no other degrees than those that are chosen; nothing where that cannot be. */
  private through(
    choices: Choices,
    samples: Samples,
    overlaps: boolean,
    seq = this.model.base.seq,
    links = this.linksAmong(1),
  ): Through {
    const { model } = this
    const key = `${seq} ${overlaps} ${links.level} ${JSON.stringify(choices)}`
    const known = this.known.get(key)
    if (known !== undefined) return known
    if (choices['recompute'] === byStage)
      return recomputations
        .map((recompute) => this.through({ ...choices, recompute }, samples, overlaps, seq, links))
        .reduce((least, each) => ({
          seconds: Math.min(least.seconds, each.seconds),
          forward: Math.min(least.forward, each.forward),
          backward: Math.min(least.backward, each.backward),
        }))
    const ones = Object.fromEntries([...Object.keys(model.base.parallel), ...model.axes].map((name) => [name, 1]))
    const made = model.specOf({ ...ones, ...choices })
    const plain = { ...made, seq, options: { ...made.options, schedule: '1f1b', offload: 'none' } } as PlannedSpec
    const placed = model.placed(plain)
    const blocks = isRefusal(placed) ? placed : model.measured(plain, onLinks(placed, links), samples)
    const found = isRefusal(blocks) ? nothing : this.throughOf(overlaps ? kernelsAlone(blocks) : blocks)
    this.known.set(key, found)
    return found
  }

  /** The fastest links that ranks of tp may have: all axes before it in the order of a group lie between them, of dp as many ranks as are left at least. */
  private linksOfTp({ choices, ranks }: Group): FastestLinks {
    const { base, copies, layers } = this.model
    const order = choices['order'] === undefined ? base.order : String(choices['order']).split(',')
    const least = { pp: 1, [copies]: Math.ceil(ranks / layers.length) }
    const inner = order.slice(0, Math.max(0, order.indexOf('tp')))
    return this.linksAmong(
      inner.reduce((apart, axis) => apart * Number(least[axis] ?? choices[axis] ?? base.parallel[axis as 'tp']), 1),
    )
  }

  private linksAmong(apart: number): FastestLinks {
    const known = this.links.get(apart) ?? fastestLinks(clusterOf(this.model.loaded), apart)
    this.links.set(apart, known)
    return known
  }

  private throughOf(blocks: BlockCosts): Through {
    const { model } = this
    return {
      seconds: model.secondsThrough(blocks),
      forward: model.leastOfLayers(blocks, 'F'),
      backward: model.leastOfLayers(blocks, 'B'),
    }
  }

  /** What is chosen of computing on one rank. */
  private ownOf(choices: Choices): Record<string, Value> {
    const isOwn = ([name]: readonly [string, Value]) => !this.model.isDegree(name) && !ofSeveral.includes(name)
    return Object.fromEntries(Object.entries(choices).filter(isOwn))
  }
}

/** The same ranks on links that are no slower than any they may lie on. */
function onLinks(placed: Placed, links: FastestLinks): Placed {
  const { machine } = placed
  return { ...placed, machine: { ...machine, group: (atoms) => links.among(machine.group(atoms)) } }
}

/** Sequences that tp can divide, as far as it divides anything, and in which attention is little. */
const shortest = 128

/** Choices, beside degrees, that are of several axes, or whose costs are not of computing on one rank. */
const ofSeveral: readonly string[] = ['ranks', 'order', 'sequenceParallel', 'offload']
