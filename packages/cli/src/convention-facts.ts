import { formatCounted, formatWholeBytes, type PlanSummary } from 'shardloom'

type Conventions = PlanSummary['conventions'] & {
  /** Of a simulation: who counts FLOPs so, the type of linear layers, and the system that runs the plan. */
  readonly flops?: string
  readonly linearDtype?: string
  readonly engine?: string
}

/** What the numbers of a plan depend on, a few words each, without breaks inside: only what is at work. */
export function conventionFacts(conventions: Conventions, phase: string): string[] {
  return [
    `attention ${conventions.attention}`,
    conventions.flops ?? `causal FLOPs ${conventions.causal}`,
    conventions.dtype,
    ...(phase === 'training' ? [gradientsFact(conventions)] : []),
    ...(conventions.zero === 0
      ? []
      : [`ZeRO ${conventions.zero}${conventions.dpReplicate > 1 ? ` in ${conventions.dpReplicate} replicas` : ''}`]),
    ...atWork(conventions),
    ...(conventions.uneven === 'refuse' ? [] : [`uneven ${conventions.uneven}`]),
    ...(conventions.tokens === 'even' ? [] : [`tokens per expert ${conventions.tokens}`]),
    ...((conventions.keyValueGradients ?? 'reduce') === 'reduce'
      ? []
      : [`key-value gradients ${conventions.keyValueGradients}`]),
    ...recomputeFacts(conventions.recompute),
    ...((conventions.offload ?? 'none') === 'none' ? [] : ['activations offloaded']),
  ].map((fact) => fact.replaceAll(' ', '\u00a0'))
}

/** In which type gradients are kept, and summed over ranks. */
function gradientsFact({ gradientDtype, reduceDtype = gradientDtype }: Conventions): string {
  return `gradients ${gradientDtype}${reduceDtype === gradientDtype ? '' : `, reduced in ${reduceDtype}`}`
}

/** The options that are named only where they are at work. */
function atWork(conventions: Conventions): string[] {
  const { gather, prefetch, bucket, contextAttention, overlap, capacityFactor, redundant } = conventions
  const facts: readonly (readonly [unknown, string])[] = [
    [conventions.linearDtype, `linear layers in ${conventions.linearDtype}`],
    [conventions.engine === 'usual' ? undefined : conventions.engine, `engine ${conventions.engine}`],
    [conventions.weightDtype, `weights ${conventions.weightDtype}`],
    [conventions.cacheDtype, `cache ${conventions.cacheDtype}`],
    [conventions.loss, `loss ${conventions.loss}`],
    [gather, `parameters ${gather === 'step' ? 'gathered once per step' : 'kept as gathered'}`],
    [prefetch, `gathered ${formatCounted(prefetch ?? 0, 'layer')} ahead`],
    [conventions.reduce, `gradients reduced per ${conventions.reduce}`],
    [bucket, `buckets of ${formatWholeBytes(bucket ?? 0)}`],
    [conventions.sequenceParallel, 'sequence parallel'],
    [contextAttention, contextAttention === 'ring' ? 'ring attention' : 'keys and values gathered'],
    [conventions.positions, `positions ${conventions.positions}`],
    [overlap, `overlap in ${overlap} parts`],
    [conventions.interleave, `interleave ${conventions.interleave}`],
    [conventions.barriers, 'barriers'],
    [conventions.dispatch, `dispatch by ${conventions.dispatch}`],
    [redundant, formatCounted(redundant ?? 0, 'redundant expert')],
    [capacityFactor, `capacity factor ${capacityFactor}`],
  ]
  return facts.flatMap(([value, fact]) => (value === undefined ? [] : [fact]))
}

/** What backward computes again: a word, or the kinds of a choice. */
function recomputeFacts(recompute: Conventions['recompute'] = 'none'): string[] {
  if (recompute === 'none') return []
  if (typeof recompute === 'string') return [`recompute ${recompute}`]
  const kinds = Object.entries(recompute).flatMap(([kind, which]) =>
    typeof which === 'object' ? [[kind, ...selected(which)].join(' of ')] : [],
  )
  return [`recompute ${kinds.join(' and ')}`]
}

/** What a selector chooses: nothing where it is all. */
function selected({ except: _, ...fields }: { readonly except?: object }): string[] {
  const texts = Object.entries(fields).map(([field, value]) => `${field} ${[value].flat().join(', ')}`)
  return texts.length > 0 ? [texts.join(' ')] : []
}
