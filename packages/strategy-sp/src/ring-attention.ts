import {
  dimSizes,
  findAxis,
  groupSize,
  nodesOf,
  type OperatorNode,
  operandText,
  type Pass,
  type Port,
  parseRule,
  regionsOf,
  ShardloomError,
} from '@shardloom/core'
import { type BackwardAttention, type ForwardAttention, findAttention } from './find-attention.js'
import { RingDraft, ringAxis, ringBodies, type Split } from './ring-draft.js'

/**
 * `sp/ring-attention`: attention that gathers keys and values over `cp` becomes a ring (Liu, Zaharia and Abbeel 2023, section 3).
 * Each rank starts with its own block of keys and values and passes it on; queries stay, and merge what each block gives
 * them by its denominator. Forward has `cp` − 1 hops of keys and values; backward as many, and `cp` of their gradients,
 * which go once round with the block that they belong to and come home summed.
 */
export const ringAttention: Pass = {
  name: 'sp/ring-attention',
  phase: 'communicate',
  after: ['core/communicate'],
  run(program, { operators, warn }) {
    const { mesh } = program
    if (regionsOf(program.items).some(({ axis }) => axis === ringAxis)) return program
    const { forward, backward, order: atoms } = findAttention(program, findAxis(mesh, 'cp')?.atoms ?? [])
    if (forward.length === 0) {
      warn('`attention: ring` has nothing to do: no attention gathers keys and values over `cp`.')
      return program
    }
    const extent = groupSize(mesh, atoms)
    const draft = new RingDraft(program, operators, atoms, extent)
    for (const each of forward) {
      const { sizes } = splitOf(each, draft)
      const size = sizes.get('kv_seq') ?? 1
      if (size % extent !== 0) throw unevenBlocks(each.softmax.id, size, extent)
      writeForward(each, draft)
    }
    const nodes = nodesOf(program.items)
    for (const each of backward) writeBackward(each, draft, nodes)
    return draft.commit()
  },
}

function unevenBlocks(subject: string, size: number, extent: number): ShardloomError {
  return new ShardloomError(
    'INDIVISIBLE',
    `The ring of \`${subject}\` passes ${extent} blocks of ${size} positions on, which differ.`,
    {
      subject,
      help: `Use a sequence that ${extent} divides, or gather keys and values: leave out \`attention: ring\`.`,
    },
  )
}

/** How attention is split, with the keys split over the ring. */
function splitOf({ score, softmax, context }: ForwardAttention, draft: RingDraft): Split {
  const nodes = [score, softmax, context]
  const sizes = new Map(nodes.flatMap((node) => [...dimSizes(node, (id) => draft.tensor(id))]))
  const splits = Object.assign({}, ...nodes.map((node) => node.partition?.splits ?? {}), { kv_seq: draft.atoms })
  return { splits, by: softmax.partition?.by ?? {}, sizes }
}

/** The ids under which a ring stands, and what backward reads of it. */
const ringId = (softmax: OperatorNode) => softmax.id.replace(/softmax([^/]*)$/, 'ring$1')
const weightsId = (softmax: OperatorNode) => `${ringId(softmax)}/weights`
const rowsText = (node: OperatorNode) => operandText((parseRule(node.rule).results[0] ?? []).slice(0, -1))
const plain = (node: OperatorNode) => node.rule.replaceAll('!', '')
const resultText = (node: OperatorNode) => operandText(parseRule(node.rule).results[0] ?? [])
const operandOf = (node: OperatorNode, tensor: string) =>
  operandText(parseRule(node.rule).operands[node.inputs.indexOf(tensor)] ?? [])
const swapped = (node: OperatorNode, ...pairs: readonly (readonly [string, string])[]) =>
  node.inputs.map((id) => pairs.find(([old]) => old === id)?.[1] ?? id)

/** A tensor that the steps of a ring hand on, which one position of goes round with the keys where `position` says so. */
function carried(draft: RingDraft, id: string, like: string, position?: number): string {
  const { versionOf: _, nextOf: __, body: ___, role, ...tensor } = draft.tensor(like)
  const rotation = position === undefined ? {} : { rotation: draft.rotation(position, 0) }
  return draft.add({
    ...tensor,
    id,
    role: role === 'cache' ? 'activation' : role,
    per: [...tensor.per, ringAxis],
    ...rotation,
  })
}

/** Where the blocks of keys or values stand when the ring is done: nobody reads them there. */
function leftOver(draft: RingDraft, id: string, inner: string, per: readonly string[]): string {
  const { rotation, ...tensor } = draft.tensor(inner)
  return draft.add({ ...tensor, id, per, rotation: draft.rotation(rotation?.position ?? 0, draft.extent - 1, false) })
}

interface Blocks {
  readonly before: readonly OperatorNode[]
  readonly inner: readonly [key: string, value: string]
  /** The hops of a step that passes the blocks on. */
  readonly hops: readonly OperatorNode[]
  readonly ports: readonly Port[]
}

/** Keys and values on their way round. */
function travelling(
  draft: RingDraft,
  id: string,
  parts: readonly [ForwardAttention['key'], ForwardAttention['value']],
  readers: readonly [OperatorNode, OperatorNode],
  per: readonly string[],
): Blocks {
  const before: OperatorNode[] = []
  const hops: OperatorNode[] = []
  const ports: Port[] = []
  const [key = '', value = ''] = (['k', 'v'] as const).map((name, index) => {
    const part = parts[index] ?? parts[0]
    const reader = readers[index] ?? readers[0]
    const { nodes, tensor } = draft.local(part)
    before.push(...nodes)
    const position = parseRule(reader.rule).operands[reader.inputs.indexOf(part.read)]?.indexOf('kv_seq') ?? 0
    const inner = carried(draft, `${id}/${name}`, tensor, position)
    const strategies = part.gather.communication?.reason.strategies ?? []
    const { nodes: pair, arrived } = draft.hop(`${id}/pass/${name}`, inner, reader, strategies)
    for (const { id: made } of pair) draft.add({ ...draft.tensor(made), body: 'pass' })
    hops.push(...pair)
    const result = leftOver(draft, `${id}/${name}.left`, inner, per)
    ports.push({ kind: 'carry', initial: tensor, inner, next: [arrived, inner], result })
    return inner
  })
  return { before, inner: [key, value], hops, ports }
}

function writeForward(attention: ForwardAttention, draft: RingDraft): void {
  const { score, softmax, context, query, key, value, sinks } = attention
  const { recompute } = softmax
  const id = ringId(softmax)
  const split = splitOf(attention, draft)
  const { per, body } = draft.tensor(softmax.outputs[0] ?? '')
  const place = { per, ...(body !== undefined && { body }) }
  const [out = ''] = context.outputs
  const [rows, scores, contexts] = [rowsText(softmax), resultText(softmax), resultText(context)]
  const blocks = travelling(draft, id, [key, value], [score, context], per)
  const extra = sinks === undefined ? '' : `, ${operandOf(softmax, sinks)}`
  const start = draft.node(
    {
      id: `${id}/start`,
      op: 'attention_start',
      rule: `${operandOf(score, query)}${extra} -> ${contexts}, ${rows}`,
      inputs: [query, ...(sinks === undefined ? [] : [sinks])],
      outputs: [`${id}/start`, `${id}/start:1`],
      like: { ...context, outputs: [out] },
      results: place,
      recompute,
    },
    split,
  )
  draft.add({ ...draft.tensor(`${id}/start:1`), dtype: 'fp32' })
  const [sum, weights] = [carried(draft, `${id}/o`, `${id}/start`), carried(draft, `${id}/w`, `${id}/start:1`)]
  draft.add({ ...draft.tensor(`${id}/start:1`), id: weightsId(softmax) })
  const bodies = ringBodies.map((name, index) => {
    const at = `${id}/${name}`
    const results = { per: [...per, ringAxis], body: name }
    const p = [`${at}/softmax`, `${at}/softmax:1`] as const
    const steps = [
      {
        id: `${at}/score`,
        op: score.op,
        rule: score.rule,
        inputs: swapped(score, [key.read, blocks.inner[0]]),
        outputs: [`${at}/score`],
        like: score,
        attributes: score.attributes,
      },
      {
        id: p[0],
        op: 'block_softmax',
        rule: `${scores}, ${rows} -> ${scores}, ${rows}`,
        inputs: [`${at}/score`, weights],
        outputs: p,
        like: softmax,
        attributes: softmax.attributes,
      },
      {
        id: `${at}/context`,
        op: context.op,
        rule: context.rule,
        inputs: swapped(context, [softmax.outputs[0] ?? '', p[0]], [value.read, blocks.inner[1]]),
        outputs: [`${at}/context`],
        like: context,
        attributes: context.attributes,
      },
      {
        id: `${at}/merge`,
        op: 'merge_blocks',
        rule: `${contexts}, ${contexts}, ${rows}, ${rows} -> ${contexts}`,
        inputs: [sum, `${at}/context`, weights, p[1]],
        outputs: [`${at}/merge`],
        like: context,
      },
    ]
    const nodes = steps.map((step) => {
      const node = draft.node({ ...step, results, recompute }, split)
      if (step.op === 'block_softmax') draft.add({ ...draft.tensor(p[1]), dtype: 'fp32' })
      return node
    })
    return [...(index === 0 ? blocks.hops : []), ...nodes]
  })
  const next = (name: string) => ringBodies.map((body) => `${id}/${body}/${name}`)
  const region = draft.region(id, bodies, [
    { kind: 'carry', initial: `${id}/start`, inner: sum, next: next('merge'), result: out },
    { kind: 'carry', initial: `${id}/start:1`, inner: weights, next: next('softmax:1'), result: weightsId(softmax) },
    ...blocks.ports,
  ])
  draft.replace(score)
  draft.replace(softmax)
  draft.replace(context, [...blocks.before, start, region])
}

function writeBackward(attention: BackwardAttention, draft: RingDraft, all: readonly OperatorNode[]): void {
  const { forward, made, gradient, again, context, query, key, value, incoming, keys, values } = attention
  const id = gradient.id.replace(/softmax([^/]*)$/, 'ring$1')
  const { softmax, score, sinks } = forward
  const split = splitOf(forward, draft)
  const { per, body } = draft.tensor(gradient.outputs[0] ?? '')
  const place = { per, ...(body !== undefined && { body }) }
  const [scores, rows, contexts] = [resultText(softmax), rowsText(softmax), resultText(forward.context)]
  const [out = '', weights] = [made.context.outputs[0], weightsId(made.softmax)]
  const blocks = travelling(draft, id, [keys, values], [query, context], per)
  const delta = draft.node(
    {
      id: `${id}/delta`,
      op: 'einsum',
      rule: `${contexts}, ${contexts} -> ${rows}`,
      inputs: [incoming, out],
      outputs: [`${id}/delta`],
      like: context,
      attributes: { class: 'other' },
      results: { ...place, dtype: 'fp32' },
    },
    split,
  )
  const gradients = [
    { name: 'dk', node: key, from: swapped(key).find((each) => each !== gradient.outputs[0]) ?? '' },
    { name: 'dv', node: value, from: incoming },
  ].map(({ name, node, from }) => {
    const dims = resultText(node)
    const initial = draft.node(
      {
        id: `${id}/${name}.start`,
        op: 'zeros_like',
        rule: `${operandOf(node, from).replace(/\bseq\b/, 'kv_seq')} -> ${dims}`,
        inputs: [from],
        outputs: [`${id}/${name}.start`],
        like: node,
        results: place,
      },
      split,
    )
    const position = parseRule(node.rule).results[0]?.indexOf('kv_seq') ?? 0
    const inner = carried(draft, `${id}/${name}`, initial.id, position)
    return { name, node, dims, initial, inner, position }
  })
  const bodies = ringBodies.map((name, index) => {
    const at = `${id}/${name}`
    const forwardStep = (which: string) => `${ringId(softmax)}/${name}/${which}`
    const results = { per: [...per, ringAxis], body: name }
    const p = `${at}/probabilities`
    const make = (step: Omit<Parameters<RingDraft['node']>[0], 'outputs' | 'results'>) =>
      draft.node({ ...step, outputs: [step.id], results }, split)
    const scored = again ? `${at}/score` : forwardStep('score')
    const nodes: OperatorNode[] = [...(index === 0 ? blocks.hops : [])]
    if (again)
      nodes.push(
        make({
          id: scored,
          op: score.op,
          rule: score.rule,
          inputs: swapped(again.score, [keys.read, blocks.inner[0]]),
          like: again.score,
          attributes: score.attributes,
          differentiates: forwardStep('score'),
        }),
      )
    const names = { p: gradient.inputs[0] ?? '', dp: gradient.inputs[1] ?? '', ds: gradient.outputs[0] ?? '' }
    nodes.push(
      make({
        id: p,
        op: 'block_probabilities',
        rule: `${scores}, ${rows} -> ${scores}`,
        inputs: [scored, weights],
        like: again?.softmax ?? gradient,
        attributes: softmax.attributes,
        differentiates: forwardStep('softmax'),
      }),
      make({
        id: `${at}/dp`,
        op: context.op,
        rule: plain(context),
        inputs: swapped(context, [values.read, blocks.inner[1]]),
        like: context,
        attributes: context.attributes,
        differentiates: forwardStep('context'),
      }),
      make({
        id: `${at}/ds`,
        op: 'block_softmax_gradient',
        rule: `${scores}, ${scores}, ${rows} -> ${scores}`,
        inputs: [p, `${at}/dp`, delta.id],
        like: gradient,
        attributes: softmax.attributes,
        differentiates: forwardStep('softmax'),
      }),
      make({
        id: `${at}/dq`,
        op: query.op,
        rule: query.rule,
        inputs: swapped(query, [names.ds, `${at}/ds`], [keys.read, blocks.inner[0]]),
        like: query,
        attributes: query.attributes,
        differentiates: forwardStep('score'),
      }),
    )
    const hops = gradients.flatMap(({ name: short, node, dims, inner }) => {
      const term = make({
        id: `${at}/${short}`,
        op: node.op,
        rule: node.rule,
        inputs: swapped(node, [names.ds, `${at}/ds`], [names.p, p]),
        like: node,
        attributes: node.attributes,
        differentiates: forwardStep(short === 'dk' ? 'score' : 'context'),
      })
      const sum = make({
        id: `${at}/${short}.sum`,
        op: 'add',
        rule: `${dims}, ${dims} -> ${dims}`,
        inputs: [inner, term.id],
        like: node,
      })
      nodes.push(term, sum)
      return draft.hop(`${at}/${short}`, sum.id, node, keys.gather.communication?.reason.strategies ?? []).nodes
    })
    return [...nodes, ...hops]
  })
  const next = (which: string) => ringBodies.map((name) => `${id}/${name}/${which}`)
  const [dq = ''] = query.outputs
  const ports: Port[] = gradients.map(({ name, node, initial, inner, position }): Port => {
    const [result = ''] = node.outputs
    const { placement } = draft.tensor(inner)
    draft.reduced(result, position, all)
    draft.add({ ...draft.tensor(result), ...(placement && { placement }) })
    return { kind: 'carry', initial: initial.id, inner, next: next(`${name}/recv`), result }
  })
  const region = draft.region(id, bodies, [
    ...ports,
    ...blocks.ports,
    { kind: 'reduce', inner: next('dq'), result: dq },
  ])
  const items = [...blocks.before, delta, ...gradients.map(({ initial }) => initial), region]
  if (sinks !== undefined) {
    const own = operandOf(softmax, sinks)
    const made = draft.tensor(gradient.outputs[1] ?? '')
    const node = draft.node(
      {
        id: `${id}/sinks`,
        op: 'sink_gradient',
        rule: `${own}, ${rows}, ${rows} -> ${own}`,
        inputs: [sinks, weights, delta.id],
        outputs: [made.id],
        like: gradient,
      },
      split,
    )
    draft.add({ ...made, ...(draft.tensor(made.id).placement && { placement: draft.tensor(made.id).placement }) })
    items.push(node)
  }
  for (const node of [gradient, context, value, key, query, ...(again ? [again.score, again.softmax] : [])])
    draft.replace(node)
  const last = all.filter((node) => node === query || node === key || node === value).at(-1) ?? query
  draft.replace(last, items)
}
