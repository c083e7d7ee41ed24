import { ShardloomError } from '@shardloom/core'
import { byStage, type Choices, dividing, multiplying, type Value } from './choices.js'
import type { Group } from './place.js'
import type { Question } from './question.js'
import type { StepModel } from './step-model.js'

/** Choices that costs of layers do not depend on. */
export const later: readonly string[] = [
  'dp',
  'replicas',
  'pp',
  'dpReplicate',
  'microbatch',
  'zero',
  'schedule',
  'virtual',
  'split',
]

/** The most groups of a space: what memory holds, and far more than anybody waits for. */
const mostGroups = 2_000_000

/** The groups of a space; those for which strategies decide the same stand together, as they share most. Throws `SPACE`. */
export function groupsOf({ choices, ranks }: Question, replicas: number, model: StepModel): Group[] {
  const inner = Object.keys(choices).filter((name) => name !== 'ranks' && !later.includes(name))
  type Leaf = (chosen: Choices, left: number, world: number) => void
  const visit = (leaf: Leaf, index: number, chosen: Choices, left: number, world: number) => {
    const name = inner[index]
    if (name === undefined) return leaf(chosen, left, world)
    for (const value of choices[name] ?? []) {
      if (isIdle(name, value, chosen)) continue
      const rest = isMultiplying(name, model) ? left / Number(value) : left
      if (Number.isInteger(rest)) visit(leaf, index + 1, { ...chosen, [name]: value }, rest, world)
    }
  }
  const visitAll = (leaf: Leaf) => {
    for (const world of (choices['ranks'] ?? [ranks]).map(Number))
      if (Number.isInteger(world / replicas))
        visit(leaf, 0, choices['ranks'] ? { ranks: world } : {}, world / replicas, world)
  }
  let count = 0
  visitAll(() => {
    if (++count > mostGroups)
      throw new ShardloomError('SPACE', `There are more than ${mostGroups} ways to choose ${inner.join(', ')}.`, {
        subject: 'choices',
        help: 'Give fewer values of them, or keep some as the spec has them.',
      })
  })
  const groups: Group[] = []
  visitAll((chosen, left, world) => void groups.push(groupOf(chosen, left, world, model)))
  return groups.sort((a, b) => compareText(a.shape, b.shape) || compareText(a.name, b.name) || a.world - b.world)
}

/** A group of these choices, on `world` ranks of which `ranks` are left. */
export function groupOf(choices: Choices, ranks: number, world: number, model: StepModel): Group {
  // Where axes lie is known of the mesh, and how many ranks it has.
  const { order: _, ranks: __, ...blocks } = choices
  const { recompute: ___, ...named } = blocks
  const { offload: ____, ...stored } = named
  const shape = Object.entries(blocks).map(([name, value]) => (model.isDegree(name) ? value !== 1 : value))
  const [name, own, same] = [named, stored, shape].map((each) => JSON.stringify(each)) as [string, string, string]
  return { choices, name, stored: own, shape: same, degrees: degreesOf(blocks, model), ranks, world }
}

/** The degrees of choices, as text. */
export function degreesOf(choices: Choices, model: StepModel): string {
  const own = Object.entries(choices).filter(([name]) => model.isDegree(name))
  return own.map(([, value]) => value).join(' ')
}

/** Whether a choice is a degree that takes its part of the ranks. */
export function isMultiplying(name: string, model: StepModel): boolean {
  return (multiplying as readonly string[]).includes(name) || model.axes.includes(name)
}

/** Whether experts divide ranks of other axes once more. */
export const isDividedAgain = (choices: Choices) => dividing.some((name) => (choices[name] ?? 1) !== 1)

/** A choice that changes nothing beside those that are made, or cannot be. */
function isIdle(name: string, value: Value, chosen: Choices): boolean {
  if (name === 'dcp') return Number(chosen['tp'] ?? value) % Number(value) !== 0
  // What waits in host memory is no straight line in the layers that recompute.
  if (name === 'offload') return value !== 'none' && chosen['recompute'] === byStage
  return name === 'sequenceParallel' && value === true && chosen['tp'] === 1
}

const compareText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
