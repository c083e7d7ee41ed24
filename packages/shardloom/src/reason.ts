import {
  type Along,
  along,
  axesOf,
  type Communication,
  nodesOf,
  type OperatorNode,
  orList,
  type Program,
  pipelineAtoms,
  regionsOf,
  type Source,
  sourcesOf,
  type Tensor,
} from '@shardloom/core'
import { programOf, wholeId } from '@shardloom/core/unroll'
import type { Plan } from './plan.js'

/** The nodes of a program by id, made once per program. */
const byId = new WeakMap<Program, ReadonlyMap<string, OperatorNode>>()

/** Every node of a program by its id. */
export function nodesById(program: Program): ReadonlyMap<string, OperatorNode> {
  const known = byId.get(program)
  if (known) return known
  const nodes = new Map(nodesOf(program.items).map((node) => [node.id, node]))
  byId.set(program, nodes)
  return nodes
}

/** The dim that an operator splits along an atom, if any. */
function splitDim(node: OperatorNode | undefined, atom: string): string | undefined {
  const splits = Object.entries(node?.partition?.splits ?? {})
  return splits.find(([, atoms]) => atoms.includes(atom))?.[0]
}

/**
 * Why a communication node that a rank runs exists, in a few words: `ffn/down is partial over tp; ffn/residual reads it
 * whole`. Empty for any other node.
 */
export function shortReason({ program: whole }: Plan, id: string, rank: number): string {
  const program = programOf(whole, rank)
  const node = nodesById(program).get(id)
  if (!node?.communication) return ''
  const { atoms, from, to, reason, shift, pool } = node.communication
  if (pool)
    return `${lastParts(reason.tensor)} ${node.op === 'send' ? 'goes to' : 'comes from'} the ranks of ${pool.phase}`
  if ((node.op === 'send' || node.op === 'recv') && shift === undefined) return transferReason(program, node)
  const atom = atoms[0] ?? ''
  const tensor = tensorOf(program, reason.tensor)
  const over = axesOf(program.mesh, atoms, reason.strategies).join('.')
  const state = (each: Along) =>
    each.kind === 'partial' ? 'partial' : each.kind === 'shard' ? `split by ${tensor?.dims[each.position]}` : 'whole'
  const what = `${tensor?.role === 'gradient' ? 'gradient of ' : ''}${lastParts(reason.tensor)}`
  const before = `${what} is ${state(along(from, atom))} over ${over}`
  return `${before}; ${lastParts(reason.consumer)} reads it ${state(along(to, atom))}`
}

/** Whether a node or a tensor belongs to the second direction of a pipeline whose microbatches enter at both ends. */
export function isSecondDirection(id: string): boolean {
  return wholeId(id) !== id
}

/**
 * Whether a transfer between stages belongs to a region around the layers: the token that the last stage has sampled, on its
 * way to the first one, which begins the next step with it.
 */
function isToken({ items }: Program, { communication }: OperatorNode): boolean {
  const carrier = regionsOf(items).find(({ id }) => id === communication?.reason.consumer)
  return carrier?.axis === 'decode_step'
}

/** What passes between stages is what one layer hands to the next, the gradient of it, or a token for the next step. */
function transferReason(program: Program, node: OperatorNode): string {
  const { id, op, segment } = node
  if (isToken(program, node))
    return `the sampled token ${op === 'send' ? 'goes to the first' : 'comes from the last'} stage, for the next step`
  const backward = segment === 'backward'
  // Of two neighbours forward's sender is the layer before, backward's the layer behind.
  const reads = (op === 'send') === backward
  const what = `${backward ? 'the gradient of ' : ''}what a layer ${reads ? 'reads' : 'hands on'}`
  const direction = isSecondDirection(id) ? ', in the second direction' : ''
  return `${what} ${op === 'send' ? 'goes to' : 'comes from'} another stage${direction}`
}

function lastParts(id: string): string {
  return id.split('/').slice(-2).join('/')
}

/**
 * Why a communication node exists, in sentences that an engineer would write: how the producer's split made the tensor
 * what it is, and how the consumer reads it.
 */
export function reasonSentences(program: Program, node: OperatorNode, communication: Communication): string[] {
  const nodes = nodesById(program)
  const { reason } = communication
  const origin = originOf(program, reason.tensor)
  const consumer = nodes.get(reason.consumer)
  const dims = tensorOf(program, reason.tensor)?.dims ?? []
  const over = axesOf(program.mesh, communication.atoms, reason.strategies).join(' and ')
  const atom = communication.atoms[0] ?? ''
  if (communication.pool) return poolSentences(node, communication)
  if ((node.op === 'send' || node.op === 'recv') && communication.shift === undefined)
    return transferSentences(program, node)
  const made = madeText(program, origin, communication, dims, over)
  const read = readText(reason.consumer, consumer, along(communication.to, atom), dims, over, atom)
  const asked = reason.strategies.length ? ` The split was asked for by ${andList(reason.strategies)}.` : ''
  return [`${made}; ${read}.`, `So ${article(node.op)} ${node.op} over ${over} stands between them.${asked}`]
}

/** Why a cache passes from pool to pool, and how much of it. */
function poolSentences({ op }: OperatorNode, { pool, reason }: Communication): string[] {
  const [share = 1, whole = 1] = pool?.share ?? []
  const part = share === whole ? '' : ` Of what all ranks here hold, copies counted, ${share}/${whole} passes.`
  if (op === 'send')
    return [
      `Decode runs on other ranks, which read \`${reason.tensor}\`: each block goes to every rank that holds it.${part}`,
    ]
  return [
    `Prefill runs on other ranks, which have filled \`${reason.tensor}\`: its blocks come in before the first step.${part}`,
  ]
}

/** Why a value passes from stage to stage of a pipeline. */
function transferSentences(program: Program, node: OperatorNode): string[] {
  const { op, communication } = node
  const { mesh } = program
  const of = `\`${communication?.reason.tensor}\``
  const stageAxes = axesOf(mesh, communication?.atoms ?? []).join('.')
  const over = `stages over ${stageAxes}`
  if (isToken(program, node)) {
    const token = `the last stage has sampled ${of}, and the first begins the next step with it`
    return [`${capital(token)}: so the token ${op === 'send' ? 'goes' : 'comes'} over ${stageAxes}.`]
  }
  // Gradients go against the order of the layers.
  const [before, behind] = node.segment === 'backward' ? ['next layer', 'layer before'] : ['layer before', 'next layer']
  const carried = `\`${communication?.reason.consumer}\` carries ${of} on, and the ${behind} stands with another rank`
  const taken = `the ${before} stands with another rank, which sends ${of}`
  return [op === 'send' ? `${carried}: ${over} meet here.` : `${capital(taken)}: ${over} meet here.`]
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1)

/** The node behind a tensor, and how its result became that tensor on the way through the ports of regions. */
interface Origin {
  readonly node?: OperatorNode
  readonly through: string
}

/** Follows a tensor back to the node that makes it, through sums over iterations and carried values. */
export function originOf(program: Program, tensor: string): Origin {
  const sources = sourcesOf(program.items)
  const words: string[] = []
  let id: string | null | undefined = tensor
  for (let depth = 0; depth < 16 && id; depth++) {
    const source: Source | undefined = sources.get(id)
    if (!source) break
    if (source.kind === 'node') {
      const node = nodesById(program).get(source.id)
      return { ...(node && { node }), through: words.join(', ') }
    }
    const { region, port } = source
    if (port.kind === 'reduce') {
      words.push(`summed over ${region.axis}`)
      id = port.inner.find((inner) => inner !== null)
    } else {
      words.push(`carried over ${region.axis}`)
      id = port.next.find((next) => next !== port.inner)
    }
  }
  return { through: words.join(', ') }
}

function madeText(
  program: Program,
  { node: producer, through }: Origin,
  { atoms, from, reason }: Communication,
  dims: readonly string[],
  over: string,
): string {
  const state = along(from, atoms[0] ?? '')
  const what = producer ? `The result of \`${producer.id}\`${through && `, ${through},`}` : `\`${reason.tensor}\``
  const splitting = atoms.filter((atom) => splitDim(producer, atom) !== undefined)
  const split = [...new Set(splitting.map((atom) => `\`${splitDim(producer, atom)}\``))]
  const axes = axesOf(program.mesh, splitting, reason.strategies)
  const splits = `${andList(axes)} ${axes.length === 1 ? 'splits' : 'split'}`
  switch (state.kind) {
    case 'partial': {
      const sum = state.reduction === 'sum' ? 'sum' : state.reduction === 'max' ? 'maximum' : 'log-sum-exp'
      const start = `${what} is a partial ${sum} over ${over}`
      const causes = [
        ...(split.length ? [`${splits} its contracted ${dimWord(split)} ${andList(split)}`] : []),
        ...termText(program, producer, atoms),
      ]
      if (causes.length) return `${start}, since ${causes.join(', and ')}`
      return atoms.some((atom) => producer?.partition?.partial[atom]) ? `${start}, passed on from its operand` : start
    }
    case 'shard': {
      const start = `${what} is split along \`${dims[state.position] ?? '?'}\` over ${over}`
      return split.length ? `${start}, since ${splits} ${andList(split)} there` : start
    }
    case 'replicate':
      return `${what} is whole on every rank of ${over}`
  }
}

/** Which stages of a pipeline have a term of a sum over its axis. */
function termText(program: Program, producer: OperatorNode | undefined, atoms: readonly string[]): string[] {
  const staged = pipelineAtoms(program).filter((atom) => atoms.includes(atom))
  // A term is no sum of operands that are partial already.
  if (!staged.some((atom) => producer?.partition?.partial[atom]?.length === 0)) return []
  const [stage, other] = producer?.stages ?? []
  const axis = axesOf(program.mesh, staged).join(' and ')
  if (stage === undefined || program.pipeline?.directions === 2) return [`stages of ${axis} have a term each`]
  if (other === undefined) return [`the ${stage} stage of ${axis} alone has it`]
  return [`the ${stage} and the ${other} stage of ${axis} have a term each`]
}

function readText(
  id: string,
  consumer: OperatorNode | undefined,
  state: Along,
  dims: readonly string[],
  over: string,
  atom: string,
): string {
  const who = consumer ? `\`${id}\`` : `the border of \`${id}\``
  if (state.kind === 'shard') return `${who} reads it split along \`${dims[state.position] ?? '?'}\``
  if (state.kind === 'partial') return `${who} passes it on as a partial sum`
  const dim = splitDim(consumer, atom)
  if (!consumer) return `${who} hands it on whole`
  if (dim === undefined) return `${who} reads it whole`
  return `${who}, which splits \`${dim}\` over ${over}, reads it whole`
}

/** A tensor by id, for texts: absent when the program has none. */
export function tensorOf(program: Program, id: string): Tensor | undefined {
  return program.tensors.get(id)
}

function dimWord(split: readonly string[]): string {
  return split.length === 1 ? 'dim' : 'dims'
}

function article(word: string): string {
  return /^[aeiou]/.test(word) ? 'an' : 'a'
}

function andList(values: readonly string[]): string {
  return orList(values).replace(' or ', ' and ')
}
