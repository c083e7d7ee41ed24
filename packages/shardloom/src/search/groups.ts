import { type Choices, multiplying, type Value } from './choices.js'
import type { Question } from './question.js'
import type { Group } from './staging.js'
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

/** The groups of a space; those for which strategies decide the same stand together, as they share most. */
export function groupsOf({ choices, ranks }: Question, replicas: number, model: StepModel): Group[] {
  const inner = Object.keys(choices).filter((name) => name !== 'ranks' && !later.includes(name))
  const groups: Group[] = []
  const visit = (index: number, chosen: Choices, left: number, world: number) => {
    const name = inner[index]
    if (name === undefined) {
      groups.push(groupOf(chosen, left, world, model))
      return
    }
    for (const value of choices[name] ?? []) {
      if (isIdle(name, value, chosen)) continue
      const rest = isMultiplying(name, model) ? left / Number(value) : left
      if (Number.isInteger(rest)) visit(index + 1, { ...chosen, [name]: value }, rest, world)
    }
  }
  for (const world of (choices['ranks'] ?? [ranks]).map(Number))
    if (Number.isInteger(world / replicas)) visit(0, choices['ranks'] ? { ranks: world } : {}, world / replicas, world)
  return groups.sort((a, b) => compareText(a.shape, b.shape) || compareText(a.name, b.name) || a.world - b.world)
}

/** A group of these choices, on `world` ranks of which `ranks` are left. */
export function groupOf(choices: Choices, ranks: number, world: number, model: StepModel): Group {
  // Where axes lie is known of the mesh, and how many ranks it has.
  const { order: _, ranks: __, ...blocks } = choices
  const { recompute: ___, offload: ____, ...stored } = blocks
  const shape = Object.entries(blocks).map(([name, value]) => (model.isDegree(name) ? value !== 1 : value))
  const [name, own, same] = [blocks, stored, shape].map((each) => JSON.stringify(each)) as [string, string, string]
  return { choices, name, stored: own, shape: same, ranks, world }
}

/** Whether a choice is a degree that takes its part of the ranks. */
export function isMultiplying(name: string, model: StepModel): boolean {
  return (multiplying as readonly string[]).includes(name) || model.axes.includes(name)
}

/** A choice that changes nothing beside those that are made, or cannot be. */
function isIdle(name: string, value: Value, chosen: Choices): boolean {
  if (name === 'dcp') return Number(chosen['tp'] ?? value) % Number(value) !== 0
  return name === 'sequenceParallel' && value === true && chosen['tp'] === 1
}

const compareText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
