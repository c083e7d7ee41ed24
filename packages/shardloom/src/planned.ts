import { nearest, type PluginAxis, ShardloomError } from '@shardloom/core'
import { keyError, shown, unknownKey } from './spec-error.js'
import { parallelSchema, type Spec } from './spec-schema.js'

/** Degrees that divide an axis instead of being one. */
const innerDegrees: readonly string[] = ['dpReplicate']

/** The degrees of `parallel` that the spec knows by itself: each is an axis of a strategy that is always there, but inner ones. */
const knownDegrees: readonly string[] = Object.keys(parallelSchema.shape)

/** The axes whose strategies are always there. */
const builtInAxes = knownDegrees.filter((name) => !innerDegrees.includes(name))

/** The names of the strategies' objects of options. */
const strategyOptions = ['tp', 'dp', 'sp', 'ep', 'pp', 'schedule', 'virtual']

/** Keys of `options` that are not options of plugins. */
const ownOptions = [
  'attention',
  'loss',
  'causal',
  'dtype',
  'gradientDtype',
  'linearDtype',
  'engine',
  'efficiency',
  'weightDtype',
  'cacheDtype',
  'uneven',
  'zero',
  'offload',
  'interleave',
  'recompute',
  'barriers',
  'prefill',
  'sequenceParallel',
  'decode',
  'serving',
  ...strategyOptions,
]

/** Options that mean nothing while an axis has the degree 1. */
const axisOfOption = { schedule: 'pp', virtual: 'pp', pp: 'pp' } as const

/**
 * Refuses what a spec asks for and no plan would show: an option of another phase or axis. Throws `OPTION`, and `SPEC_KEY` for names that nobody knows.
 */
export function refuseUnplanned(spec: Spec, axes: readonly PluginAxis[], pluginNames: readonly string[]): void {
  // The first axis that refactors ranks has no degree of its own: it gets what the others leave.
  const left = axes.find(({ ranks }) => ranks === 'refactor')
  const brought = axes.filter((axis) => axis !== left).map(({ name }) => name)
  for (const name of Object.keys(spec.parallel))
    if (!brought.includes(name) && !knownDegrees.includes(name)) throw unknownAxis(name, brought)
  for (const [option, axis] of Object.entries(axisOfOption)) {
    const value = spec.options[option]
    const asks = value !== undefined && !(typeof value === 'object' && value && Object.keys(value).length === 0)
    if (!asks || (spec.parallel[axis] ?? 1) > 1) continue
    throw new ShardloomError(
      'OPTION',
      `\`options.${option}\` is given, but \`parallel.${axis}\` is 1: it would change nothing.`,
      {
        subject: `options.${option}`,
        help: `Leave it out, or set \`parallel.${axis}\` to 2 or more.`,
      },
    )
  }
  const { schedule, virtual, pp } = spec.options
  const ordering = { schedule, virtual, 'pp.group': pp.group }
  const [ordered] = Object.entries(ordering).filter(([, value]) => value !== undefined)
  if (ordered && spec.phase !== 'training') {
    throw new ShardloomError('OPTION', `\`options.${ordered[0]}\` orders training alone; the phase is ${spec.phase}.`, {
      subject: `options.${ordered[0]}`,
      help: 'Leave it out: microbatches of prefill go through the stages in turn, decode is ordered by its tokens.',
    })
  }
  const { gradientDtype } = spec.options
  if (gradientDtype !== 'fp32' && spec.phase !== 'training') {
    throw new ShardloomError(
      'OPTION',
      `\`options.gradientDtype\` is ${gradientDtype}, but only training has gradients; the phase is ${spec.phase}.`,
      { subject: 'options.gradientDtype', help: 'Leave it out.' },
    )
  }
  if (spec.options.loss !== 'fused' && spec.phase !== 'training') {
    throw new ShardloomError(
      'OPTION',
      `\`options.loss\` is ${spec.options.loss}, but only training has a loss; the phase is ${spec.phase}.`,
      { subject: 'options.loss', help: 'Leave it out.' },
    )
  }
  for (const name of ['weightDtype', 'cacheDtype'] as const) {
    if (spec.options[name] === undefined || spec.phase !== 'training') continue
    throw new ShardloomError('OPTION', `\`options.${name}\` is of inference alone; the phase is training.`, {
      subject: `options.${name}`,
      help: 'Leave it out, or set `phase` to prefill, decode or serving.',
    })
  }
  for (const name of Object.keys(spec.options)) {
    if (ownOptions.includes(name) || pluginNames.includes(name)) continue
    throw unknownKey(['options'], name, [...ownOptions, ...pluginNames], 'spec')
  }
  checkOrder(spec.order, brought)
  if (spec.phase === 'serving') {
    throw new ShardloomError('SERVING', 'Serving is two plans: prefill and decode.', {
      subject: 'phase',
      help: 'Set `phase` to prefill or decode, without `options.serving`; in code, `planServing` makes both.',
    })
  }
  for (const [name, own] of Object.entries(spec.options.serving)) {
    const [field] = typeof own === 'object' ? Object.keys(own) : ['']
    if (field === undefined) continue
    const given = ['options.serving', name, field].filter((part) => part !== '').join('.')
    throw new ShardloomError('SPEC_VALUE', `\`${given}\` is given, but the phase is ${spec.phase}.`, {
      subject: given,
      help: 'Leave it out, or set `phase` to `serving`.',
    })
  }
}

/** The axis that was probably meant; a plugin's wins where two are as near, since it was loaded to be used. */
function nearestAxis(name: string, brought: readonly string[]): string | undefined {
  return nearest(name, [...pluginsFirst(brought), ...knownDegrees])
}

/** Suggests the nearest axis or lists those that can be planned; a plugin that was forgotten is as likely as a typo. */
function unknownAxis(name: string, brought: readonly string[]): ShardloomError {
  const near = nearestAxis(name, brought)
  const axes = pluginsFirst(brought)
  const known = near ? `Did you mean \`parallel.${near}\`?` : `Known here: ${axes.join(', ')}.`
  const loaded = axes.length > builtInAxes.length
  const further = 'Further axes come with a plugin: name it in `plugins`, or with --plugin.'
  return keyError(['parallel'], name, 'spec', near && loaded ? known : `${known} ${further}`)
}

function pluginsFirst(brought: readonly string[]): readonly string[] {
  return [...brought.filter((name) => !builtInAxes.includes(name)), ...builtInAxes]
}

/** Refuses axes of an order that no strategy brings. Throws `SPEC_VALUE`. */
export function checkOrder(order: readonly string[], brought: readonly string[]): void {
  for (const name of order) {
    if (brought.includes(name) || knownDegrees.includes(name)) continue
    const near = nearestAxis(name, brought)
    throw new ShardloomError('SPEC_VALUE', `\`order\` names the axis ${shown(name)}, which no strategy brings.`, {
      subject: 'order',
      help: near ? `Did you mean \`${near}\`?` : `Axes: ${brought.join(', ')}.`,
    })
  }
}
