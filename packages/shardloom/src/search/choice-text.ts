import { nearest, ShardloomError } from '@shardloom/core'
import type { Candidate } from '@shardloom/search'
import { decimal } from '../decimal.js'
import type { LoadedSpec } from '../plan.js'
import { specFields } from '../spec-fields.js'
import type { Value } from './choices.js'
import type { Question } from './question.js'

/** The values of choices, by name. */
export type ChoiceValues = Readonly<Record<string, readonly Value[]>>

/** The name and the values of a choice that a text such as `tp=1,2,4` stands for. Values that hold commas, as orders do, stand between semicolons. Throws `CHOICE`. */
export function readChoice(text: string): readonly [name: string, values: readonly Value[]] {
  const [, name, values] = /^\s*([\w.]+)\s*=\s*(\S.*?)\s*$/.exec(text) ?? []
  if (name === undefined || values === undefined)
    throw refused(text, 'Write a choice and its values: tp=1,2,4 or recompute=none,full.')
  return [name, valuesFrom(name, values)]
}

/** One value of each choice that is named: `tp=8,pp=4`. Throws `CHOICE`. */
export function readPoint(text: string): Readonly<Record<string, Value>> {
  const entries = text.split(/,(?=\s*[\w.]+\s*=)/).map((each): readonly [string, Value] => {
    const [, name, value] = /^\s*([\w.]+)\s*=\s*(\S.*?)\s*$/.exec(each) ?? []
    if (name === undefined || value === undefined)
      throw refused(each, 'Write choices with one value each: tp=8,pp=4 or tp=8,recompute=full.')
    return [name, valueFrom(value)]
  })
  const names = entries.map(([name]) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw refused(twice, `${twice} is given twice.`)
  return Object.fromEntries(entries)
}

function refused(text: string, help: string): ShardloomError {
  const shown = text.slice(0, 60)
  return new ShardloomError('CHOICE', `\`${shown}\` says no choice.`, { subject: shown, help })
}

function valuesFrom(name: string, text: string): readonly Value[] {
  const separator = name === 'order' || text.includes(';') ? ';' : ','
  return [...new Set(text.split(separator).map((each) => valueFrom(each.trim())))]
}

function valueFrom(text: string): Value {
  if (text === 'true' || text === 'false') return text === 'true'
  return decimal(text) ?? text
}

/** Values of choices that a spec does not have to name. */
const unsaid: ChoiceValues = {
  microbatch: [1],
  split: ['even'],
  schedule: ['1f1b'],
  virtual: [1],
  recompute: ['none'],
  offload: ['none'],
  sequenceParallel: [false],
  pools: [1],
}

/** What can be chosen of steps: degrees, what else a plan is divided by, and fields of options. Plugins bring choices of their own. */
export function stepChoiceNames(): string[] {
  const of = (part: string) =>
    specFields().flatMap(({ path: [top, ...path] }) => (top === part && path[0] !== 'serving' ? [path.join('.')] : []))
  return [...of('parallel'), 'order', 'microbatch', 'batch', 'split', 'ranks', ...of('options')]
}

/**
 * Refuses a choice of steps that is no degree, no option and no choice of a plugin: `CHOICE`. Those of serving are few, and checked with
 * the question.
 */
export function checkChoiceName({ spec, plugins }: LoadedSpec, name: string): void {
  if (spec.phase === 'serving') return
  const ours = [...stepChoiceNames(), ...Object.keys(spec.parallel)]
  const own = plugins.flatMap(({ axes = [], choices = [] }) => [...axes, ...choices].map((each) => each.name))
  const all = [...ours, ...own]
  if (all.includes(name) || plugins.some((plugin) => name.split('.')[0] === plugin.name)) return
  const near = nearest(name, all)
  throw new ShardloomError('CHOICE', `There is nothing to choose that is called \`${name.slice(0, 60)}\`.`, {
    subject: name.slice(0, 60),
    help:
      near === undefined
        ? 'Name a degree such as tp, a field of options such as zero, order, microbatch, batch, split or ranks; `shardloom search --help` lists them.'
        : `Did you mean \`${near}\`?`,
  })
}

/** The choices that stay as a spec has them, each with its one value. Throws `CHOICE`. */
export function keptChoices({ spec }: LoadedSpec, names: readonly string[]): ChoiceValues {
  return Object.fromEntries(names.map((name) => [name, keptValues(spec, name)]))
}

function keptValues(spec: LoadedSpec['spec'], name: string): readonly Value[] {
  const { parallel, options, order, microbatch } = spec
  const [pool, axis = ''] = name.split('.')
  const said: unknown =
    {
      order: order.join(','),
      microbatch,
      clients: options.serving.load?.clients,
      ...parallel,
      ...(pool === 'prefill' || pool === 'decode' ? { [name]: options.serving[pool].parallel?.[axis] ?? 1 } : {}),
    }[name] ?? name.split('.').reduce<unknown>((at, key) => (at as Readonly<Record<string, unknown>>)?.[key], options)
  if (typeof said === 'string' || typeof said === 'number' || typeof said === 'boolean') return [said]
  const usual = said === undefined ? unsaid[name] : undefined
  if (usual) return usual
  const reason = said === undefined ? 'the spec does not say what it is' : 'what the spec says is no single value'
  throw new ShardloomError('CHOICE', `\`${name}\` cannot be kept: ${reason}.`, {
    subject: name,
    help: 'Keep names of degrees, options, order, microbatch or split; or give its values with --choose.',
  })
}

/** What a choice has where nothing is said of it. */
function isUnsaid(name: string, value: Value, [usual]: readonly unknown[] = []): boolean {
  if (name === 'order') return value === usual
  return value === (name === 'zero' ? 0 : 1) || value === 'none' || value === false || value === 'even'
}

/** What a candidate has chosen, without what stands for nothing: `dp 8  tp 4  pp 2  zero 1`. */
export function choicesText({ choices }: Pick<Candidate, 'choices'>, among: Question['choices']): string {
  const said = Object.entries(choices).filter(([name, value]) => !isUnsaid(name, value, among[name]))
  return said.map(([name, value]) => (value === true ? name : `${name}\u00a0${value}`)).join('  ') || 'one rank'
}
