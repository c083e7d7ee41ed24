import { collectiveSeconds } from '@shardloom/cluster'
import type { StateCost, StateMove, StateShare } from '@shardloom/simulator'
import { dividing } from './choices.js'
import type { Sharing } from './forms.js'
import { overlapOn } from './link-loads.js'
import type { Group, Stored } from './place.js'
import { sharingAtoms } from './size-decisions.js'
import { isRefusal, type Placed, type StepModel } from './step-model.js'

/** What collectives move in each microbatch of the parameters or the gradients of a part, experts aside. */
interface Moved {
  readonly share: number
  /** In so many collectives. */
  readonly count: number
}

/** Gathered in forward, in backward and behind the update, and reduced in backward or before the update. */
interface MovedPart {
  readonly forward: Moved
  readonly backward: Moved
  readonly spread: Moved
  readonly reduced: Moved
  readonly summed: Moved
}

const unmoved: Moved = { share: 0, count: 0 }

const nothingMoved: MovedPart = {
  forward: unmoved,
  backward: unmoved,
  spread: unmoved,
  reduced: unmoved,
  summed: unmoved,
}

/** What sharing of parameters and gradients takes in each microbatch, told before any of it is planned. */
export class LeastSharing {
  private readonly moved = new Map<string, ReadonlyMap<string, MovedPart>>()

  constructor(private readonly model: StepModel) {}

  /**
   * What parts at least take to gather parameters and reduce gradients that are no experts': one collective with all bytes, but for
   * one byte in each of the others, as a collective takes the least of several times of which each grows evenly with its bytes. `costs` are
   * of ranks that share nothing.
   */
  of(
    group: Group,
    costs: ReadonlyMap<string, StateCost>,
    { zero, replicate }: Stored,
    { mesh, machine }: Placed,
  ): Sharing | undefined {
    if (zero === 0) return undefined
    const moved = this.movedIn(group, zero)
    const links = machine.group(sharingAtoms(mesh, replicate))
    const seconds = (op: 'all-gather' | 'reduce-scatter', { share, count }: Moved, bytes: number) => {
      if (share * bytes === 0 || links.size === 1) return 0
      const others = count - 1
      return (
        collectiveSeconds(links, { op, bytes: Math.max(0, share * bytes - others) }) +
        others * collectiveSeconds(links, { op, bytes: 1 })
      )
    }
    const parts = new Map(
      Array.from(costs, ([part, cost]) => {
        const { forward, backward, spread, reduced, summed } = moved.get(part) ?? nothingMoved
        const parameters = bytesOf(cost, 'parameterBytes')
        const gradients = bytesOf(cost, 'gradientBytes')
        const gathered = seconds('all-gather', backward, parameters)
        return [
          part,
          {
            forward: seconds('all-gather', forward, parameters),
            backward: gathered + seconds('reduce-scatter', reduced, gradients),
            gathered,
            summed: seconds('reduce-scatter', summed, gradients),
            spread: seconds('all-gather', spread, parameters),
          },
        ]
      }),
    )
    return { parts, ...overlapOn(machine) }
  }

  /** Found once for all degrees, of which strategies ask here whether they are more than one: on two ranks of each axis. */
  private movedIn({ choices, shape }: Group, zero: number): ReadonlyMap<string, MovedPart> {
    const key = `${shape} ${zero}`
    const known = this.moved.get(key)
    if (known) return known
    const { model } = this
    const kept = Object.entries(choices).filter(([name]) => name !== 'ranks' && name !== 'order')
    const two = Object.fromEntries(
      kept.map(([name, value]) => [name, model.isDegree(name) && value !== 1 ? 2 : value] as const),
    )
    const dp = dividing.reduce((all, name) => all * Number(two[name] ?? 1), 2)
    const specOf = (zero: number) =>
      model.specOf({ ...two, microbatch: 1, pp: 1, dp, dpReplicate: 1, schedule: model.plain, zero })
    const placed = model.placed(specOf(zero))
    const found = new Map<string, MovedPart>()
    this.moved.set(key, found)
    if (isRefusal(placed)) return found
    const [alone, shared] = [0, zero].map((each) =>
      model.measuredState(() => specOf(each), `two ${shape}`, { zero: each, replicate: 1 }, placed),
    )
    if (!alone || !shared || isRefusal(alone) || isRefusal(shared)) return found
    const sharing = sharingAtoms(placed.mesh, 1)
    for (const [part, { moves }] of shared) {
      const cost = alone.get(part)
      const share = (when: StateMove['when'], op: string, field: StateShare['field']) => {
        const all = cost ? bytesOf(cost, field) : 0
        const own = moves.filter((each) => each.when === when && each.op === op && !each.isOfExperts)
        const shared = own.filter(({ atoms }) => atoms.every((atom) => sharing.includes(atom)))
        const bytes = shared.reduce((sum, { bytes }) => sum + bytes, 0)
        return all === 0 || bytes === 0 ? unmoved : { share: Math.min(1, bytes / all), count: shared.length }
      }
      found.set(part, {
        forward: share('F', 'all-gather', 'parameterBytes'),
        backward: share('B', 'all-gather', 'parameterBytes'),
        spread: share('behind update', 'all-gather', 'parameterBytes'),
        reduced: share('B', 'reduce-scatter', 'gradientBytes'),
        summed: share('before update', 'reduce-scatter', 'gradientBytes'),
      })
    }
    return found
  }
}

/** What of a part's state is no experts', on one rank. */
function bytesOf({ shares }: StateCost, of: StateShare['field']): number {
  return shares.reduce((sum, { field, isOfExperts, bytes }) => (field === of && !isOfExperts ? sum + bytes : sum), 0)
}
