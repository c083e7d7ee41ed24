import { type Choices, multiplying, type Value } from './choices.js'
import type { Question } from './question.js'
import type { Group } from './staging.js'
import type { TrainingModel } from './training-model.js'

/** Choices that costs of layers do not depend on. */
export const later: readonly string[] = [
  'dp',
  'pp',
  'dpReplicate',
  'microbatch',
  'zero',
  'schedule',
  'virtual',
  'split',
]

/** The groups of a space; those for which strategies decide the same stand together, as they share most. */
export function groupsOf({ choices, ranks }: Question, replicas: number, model: TrainingModel): Group[] {
  const inner = Object.keys(choices).filter((name) => !later.includes(name))
  const groups: Group[] = []
  const visit = (index: number, chosen: Choices, left: number) => {
    const name = inner[index]
    if (name === undefined) {
      groups.push(groupOf(chosen, left))
      return
    }
    for (const value of choices[name] ?? []) {
      if (isIdle(name, value, chosen)) continue
      const rest = isMultiplying(name, model) ? left / Number(value) : left
      if (Number.isInteger(rest)) visit(index + 1, { ...chosen, [name]: value }, rest)
    }
  }
  if (Number.isInteger(ranks / replicas)) visit(0, {}, ranks / replicas)
  const shapes = new Map(groups.map((group) => [group, shapeOf(group, model)]))
  return groups.sort((a, b) => compareText(shapes.get(a), shapes.get(b)) || compareText(a.name, b.name))
}

/** A group of these choices. */
export function groupOf(choices: Choices, ranks: number): Group {
  // Where axes lie is known of the mesh.
  const { order: _, ...blocks } = choices
  const { recompute: __, offload: ___, ...stored } = blocks
  return { choices, name: JSON.stringify(blocks), stored: JSON.stringify(stored), ranks }
}

/** Whether a choice is a degree that takes its part of the ranks. */
export function isMultiplying(name: string, model: TrainingModel): boolean {
  return (multiplying as readonly string[]).includes(name) || model.axes.includes(name)
}

/** A choice that changes nothing beside those that are made. */
function isIdle(name: string, value: Value, chosen: Choices): boolean {
  return name === 'sequenceParallel' && value === true && chosen['tp'] === 1
}

/** What of a group's choices decides which strategies are at work, and how: degrees count as one or more. */
function shapeOf({ choices }: Group, model: TrainingModel): string {
  const { order: _, ...rest } = choices
  return JSON.stringify(Object.entries(rest).map(([name, value]) => (model.isDegree(name) ? value !== 1 : value)))
}

const compareText = (a = '', b = '') => (a < b ? -1 : a > b ? 1 : 0)
