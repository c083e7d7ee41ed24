import { along, axesOf, type OperatorNode, type Program } from '@shardloom/core'
import type { CommunicationSize } from '@shardloom/simulator'
import type { Card, Chip } from './fold.js'
import { formatBytes, formatCount, formatFlops } from './format.js'

/**
 * FLOPs per byte under which an operator counts as bound by memory bandwidth, so that its bytes are the number to show.
 * Accelerators since 2020 compute 150 to 300 FLOP in the time of one byte; kernels reach about half of that.
 */
const boundIntensity = 100n

/** The second line of a card. */
export function factsOf(card: Card, program: Program): string[] {
  const [node] = card.nodes
  if (card.nodes.length === 1 && node?.communication && card.covered.length === 0)
    return [...kindFact(card, node, program), ...communicationFacts(node, program, card.size)]
  if (card.kind === 'communication' || card.kind === 'control') return []
  return workFact(card.flops, card.moved)
}

/** What a collective is that has the name of a module, in which it is all that there is: `all-gather · tp`. */
function kindFact({ title }: Card, { op, communication }: OperatorNode, { mesh }: Program): string[] {
  if (!communication || title.startsWith(op)) return []
  return [`${op} · ${axesOf(mesh, communication.atoms, communication.reason.strategies).join('.')}`]
}

/** FLOPs, or bytes where moving them takes longer than computing. */
function workFact(flops: bigint, moved: bigint): string[] {
  if (flops > 0n && flops >= moved * boundIntensity) return [formatFlops(flops)]
  if (moved > 0n) return [`${formatBytes(moved)} moved`]
  return flops > 0n ? [formatFlops(flops)] : []
}

/** Folded communication: `tp · 2 · sends 33.6 MB`. */
export function chipText(chip: Chip): string {
  return `${chip.axes} · ${formatCount(chip.count)} · sends ${formatBytes(Math.round(chip.bytes))}`
}

/** What a communication node changes and what it costs: `seq/2 → seq` and `67.1 MB, sends 33.6 MB`. */
function communicationFacts(node: OperatorNode, program: Program, size?: CommunicationSize): string[] {
  const { payload, sent } = size ?? { payload: 0, sent: 0 }
  const cost = `${formatBytes(Math.round(payload))}, sends ${formatBytes(Math.round(sent))}`
  const change = placementChange(node, program)
  return change ? [change, cost] : [cost]
}

/** The axes along which a tensor is a partial sum, such as `partial over tp`; empty when it is whole. */
export function partialText(tensor: string, program: Program): string {
  const atoms = Object.keys(program.tensors.get(tensor)?.placement?.partial ?? {})
  return atoms.length > 0 ? `partial over ${axesOf(program.mesh, atoms).join(', ')}` : ''
}

/** How the placement changes along the node's own atoms: `partial → seq/2`. */
function placementChange({ communication, inputs }: OperatorNode, program: Program): string {
  const [atom] = communication?.atoms ?? []
  if (!communication || atom === undefined) return ''
  const dims = program.tensors.get(inputs[0] ?? '')?.dims ?? []
  const degree = communication.atoms.reduce(
    (product, name) => product * (program.mesh.atoms.find((each) => each.name === name)?.degree ?? 1),
    1,
  )
  const from = along(communication.from, atom)
  const to = along(communication.to, atom)
  const text = (state: typeof from, other: typeof from) => {
    if (state.kind === 'partial') return 'partial'
    if (state.kind === 'shard') return `${dims[state.position] ?? state.position}/${degree}`
    return other.kind === 'shard' ? `${dims[other.position] ?? other.position}` : 'whole'
  }
  return `${text(from, to)} → ${text(to, from)}`
}
