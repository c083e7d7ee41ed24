import {
  axesOf,
  type CommunicationReason,
  checkOptions,
  coordinates,
  describePlacement,
  groupOf,
  groupSize,
  groupSizeOf,
  iterationsOf,
  localShape,
  nearest,
  type OperatorNode,
  orList,
  type Place,
  type Placement,
  type Program,
  pipelineAtoms,
  placementText,
  rankAt,
  runsAt,
  ShardloomError,
  walk,
} from '@shardloom/core'
import { programOf } from '@shardloom/core/unroll'
import { formatCount, formatFlops } from '@shardloom/exporters'
import {
  changeAxis,
  communicationBytes,
  flopClassOf,
  type Meter,
  meterOf,
  iterationsOf as stepsOf,
} from '@shardloom/simulator'
import { axisPartsText } from './axis-parts.js'
import { controlReason } from './control.js'
import { formatWholeBytes } from './format-whole-bytes.js'
import { partnersOf } from './partners.js'
import { checkPlan, type Plan } from './plan.js'
import { isSecondDirection, nodesById, originOf, reasonSentences, tensorOf } from './reason.js'

/** A tensor as one node reads or writes it. */
export interface ExplainedTensor {
  readonly tensor: string
  readonly dims: readonly string[]
  /** Over all ranks. */
  readonly shape: readonly number[]
  /** What the rank holds of it. */
  readonly localShape: readonly number[]
  readonly dtype: string
  /** How many of how many elements are filled, such as [8, 256] where a token goes to 8 of 256 experts; absent where all are. */
  readonly density?: readonly [number, number]
  /** Such as `seq/tp · partial(sum)/dp`, or `replicate`. */
  readonly placement: string
  /** Bytes on the rank. */
  readonly bytes: number
}

/** What is particular to a communication node. */
export interface ExplainedCommunication extends CommunicationReason {
  readonly axes: readonly string[]
  readonly groupSize: number
  /** The ranks that communicate with the rank explained, itself included; absent above 64 ranks. */
  readonly group?: readonly number[]
  readonly from: string
  readonly to: string
  readonly payloadBytes: number
  readonly bytesPerRank: number
}

/** What `shardloom explain NODE --json` prints. Numbers are of one execution on one rank. */
export interface Explanation {
  readonly schema: 'shardloom.explain/1'
  readonly node: string
  readonly kind: string
  readonly op: string
  readonly rule: string
  readonly phase: string
  readonly module: string
  /** The iteration axes around it, outermost first. */
  readonly region: string
  /** Executions in one step. */
  readonly executions: number
  readonly rank: number
  /** Dim → axes, for an operator that a strategy splits. */
  readonly splits: Readonly<Record<string, readonly string[]>>
  readonly inputs: readonly ExplainedTensor[]
  readonly outputs: readonly ExplainedTensor[]
  readonly flops: number
  readonly flopClass?: string
  readonly bytesRead: number
  readonly bytesWritten: number
  /** The node of forward that runs again here, because its result was not kept. */
  readonly recomputes?: string
  readonly communication?: ExplainedCommunication
  /** The same in sentences. */
  readonly text: readonly string[]
}

/**
 * Explains one node of the rolled program: for a communication node why it exists, for any other what it computes and how
 * it is split. An id of the unrolled graph, `…/q[microbatch=0,layer=3]`, means its node of the rolled one. Throws
 * `UNKNOWN_NODE` with the ids that are near.
 */
export function explain(plan: Plan, id: string, options: { readonly rank?: number } = {}): Explanation {
  checkPlan(plan)
  checkOptions(options, { rank: 'number' })
  const { operators } = plan
  const rolled = id.replace(/\[[^\]]*\]$/, '')
  const { program, holder } = programWith(plan.program, rolled)
  const found = findNode(program, rolled)
  const { node } = found
  const rank = options.rank ?? holder ?? firstRankOf(program, found)
  const place = placeOn(plan.program, rank, node.id) ?? { ...found.place, executions: 0 }
  const meter = meterOf(program, operators, rank)
  const cost = meter.node(node)
  const tensor = (each: string): ExplainedTensor => explainTensor(program, meter, rank, each)
  const splits = Object.entries(node.partition?.splits ?? {}).map(
    ([dim, atoms]) =>
      [
        dim,
        axesOf(
          program.mesh,
          atoms,
          atoms.flatMap((atom) => node.partition?.by[atom] ?? []),
        ),
      ] as const,
  )
  const explanation = {
    schema: 'shardloom.explain/1' as const,
    node: node.id,
    kind: node.kind,
    op: node.op,
    rule: node.rule,
    phase: node.segment,
    module: node.module,
    region: place.path.map(({ region }) => region.axis).join('/'),
    executions: place.executions,
    rank,
    splits: Object.fromEntries(splits),
    inputs: node.inputs.map(tensor),
    outputs: node.outputs.map(tensor),
    flops: Number(cost.flops),
    ...(cost.flops > 0n && { flopClass: flopClassOf(node, operators) }),
    bytesRead: Number(cost.read),
    bytesWritten: Number(cost.written),
    ...(node.recompute && { recomputes: node.differentiates ?? '' }),
  }
  const communication = explainCommunication(plan.program, program, node, meter, rank, place)
  if (communication)
    return { ...explanation, communication, text: communicationText(program, node, communication, rank, place) }
  const described = controlReason(plan, node)
  const parts = axisPartsText(program, Object.values(explanation.splits).flat())
  return { ...explanation, text: [...(described ? [described] : []), ...parts, ...operatorText(explanation, node)] }
}

/**
 * The program that has a node: nodes of a second direction stand in what a rank runs alone, of which the lowest rank that
 * has it is named.
 */
function programWith(program: Program, id: string): { readonly program: Program; readonly holder?: number } {
  if (!isSecondDirection(id)) return { program }
  const [atom = ''] = pipelineAtoms(program)
  const ranks = [...new Set(program.pipeline?.chunks.map(({ rank }) => rank))].sort((a, b) => a - b)
  for (const coordinate of ranks) {
    const holder = rankAt(program.mesh, new Map([[atom, coordinate]]))
    const own = programOf(program, holder)
    if (nodesById(own).has(id)) return { program: own, holder }
  }
  return { program }
}

/** The lowest rank that runs a node: 0 unless a pipeline has it stand elsewhere. */
function firstRankOf(program: Program, { node, place }: { node: OperatorNode; place: Place }): number {
  const { pipeline, mesh } = program
  const at = pipeline && place.path.find(({ region }) => region.axis === pipeline.over)
  const iteration = at && iterationsOf(at.region, at.body)[0]
  const [coordinate = 0] = (pipeline && runsAt(pipeline, node, iteration)) ?? []
  const [atom = ''] = pipelineAtoms(program)
  return coordinate === 0 ? 0 : rankAt(mesh, new Map([[atom, coordinate]]))
}

/** Where a node stands in what a rank runs; undefined when the rank does not run it. */
function placeOn(program: Program, rank: number, id: string): Place | undefined {
  let found: Place | undefined
  walk(programOf(program, rank).items, (node, place) => {
    if (node.id === id) found = place
  })
  return found
}

function findNode(program: Program, id: string): { node: OperatorNode; place: Place } {
  let found: { node: OperatorNode; place: Place } | undefined
  walk(program.items, (node, place) => {
    if (node.id === id) found = { node, place }
  })
  if (found) return found
  throw new ShardloomError('UNKNOWN_NODE', `The plan has no node \`${id.slice(0, 120)}\`.`, {
    subject: id,
    help: nearIds(program, id),
  })
}

/** Ids that a wrong one may have meant: the nearest by spelling, then those that share most parts of the path. */
function nearIds(program: Program, id: string): string {
  const ids = [...nodesById(program).keys()]
  const near = nearest(id, ids)
  const parts = new Set(id.split('/').slice(0, 16))
  const shared = (each: string) => each.split('/').filter((part) => parts.has(part)).length
  const most = ids.reduce((best, each) => Math.max(best, shared(each)), 0)
  const alike = most > 0 ? ids.filter((each) => shared(each) === most) : []
  const shown = [...new Set([...(near ? [near] : []), ...alike])].slice(0, 3)
  if (shown.length) return `Did you mean ${orList(shown.map((each) => `\`${each}\``))}?`
  return `Ids look like \`${ids[Math.floor(ids.length / 2)] ?? ''}\`.`
}

function explainTensor(program: Program, meter: Meter, rank: number, id: string): ExplainedTensor {
  const tensor = tensorOf(program, id)
  if (!tensor) throw new Error(`internal error: there is no tensor \`${id}\``)
  const { dims, shape, dtype, density, placement = { shards: [], partial: {} } } = tensor
  const local = localShape(shape, placement, program.mesh, coordinates(program.mesh, rank))
  return {
    tensor: id,
    dims,
    shape,
    localShape: local,
    dtype,
    ...(density && { density }),
    placement: describePlacement(tensor),
    bytes: meter.bytes(tensor),
  }
}

function explainCommunication(
  whole: Program,
  program: Program,
  node: OperatorNode,
  meter: Meter,
  rank: number,
  place: Place,
): ExplainedCommunication | undefined {
  const { communication } = node
  if (!communication) return undefined
  const transfer = node.op === 'send' || node.op === 'recv'
  const size = transfer ? 2 : groupSizeOf(program, node, place)
  const partners = transfer && place.executions > 0 ? partnersOf(whole, node, rank) : []
  const isWhole = size === groupSize(program.mesh, communication.atoms)
  const steps = stepsOf(place.path, changeAxis(node, program))
  const { payload, sent } = communicationBytes(node, program, meter, size, steps)
  const dims = tensorOf(program, communication.reason.tensor)?.dims
  const text = (placement: Placement) => placementText(placement, dims)
  return {
    ...communication.reason,
    producer: communication.reason.producer ?? originOf(program, communication.reason.tensor).node?.id ?? null,
    axes: axesOf(program.mesh, communication.atoms, communication.reason.strategies),
    groupSize: size,
    ...(size <= 64 && isWhole && !transfer && { group: groupOf(program.mesh, rank, communication.atoms) }),
    ...(partners.length > 0 && { group: [rank, ...partners].sort((a, b) => a - b) }),
    from: text(communication.from),
    to: text(communication.to),
    payloadBytes: payload,
    bytesPerRank: sent,
  }
}

function communicationText(
  program: Program,
  node: OperatorNode,
  explained: ExplainedCommunication,
  rank: number,
  place: Place,
): string[] {
  if (!node.communication) return []
  if (node.op === 'send' || node.op === 'recv') {
    const moves = `${node.op === 'send' ? 'This rank sends' : 'This rank receives'} ${formatWholeBytes(explained.payloadBytes)}`
    const others = explained.group?.filter((each) => each !== rank) ?? []
    const ranks = others.length
      ? ` ${others.length === 1 ? 'rank' : 'ranks'} ${orList(others.map(String)).replace(' or ', ' and ')}`
      : ''
    const partner = ranks && `${node.op === 'send' ? ' to' : ' from'}${ranks}`
    return [
      ...reasonSentences(program, node, node.communication),
      `${moves}${partner}, ${timesText(place.executions)}.`,
    ]
  }
  const members = `each group has ${explained.groupSize} ranks`
  const payload = `the tensor is ${formatWholeBytes(explained.payloadBytes)} logical to the group`
  const sends = `this rank sends ${formatWholeBytes(explained.bytesPerRank)} ${node.op === 'all-to-all' ? 'by direct exchange' : 'by a ring'}`
  return [
    ...reasonSentences(program, node, node.communication),
    ...axisPartsText(program, explained.axes),
    `${capital(members)}; ${payload}; ${sends}, ${timesText(place.executions)}.`,
  ]
}

function operatorText(explanation: Omit<Explanation, 'text'>, node: OperatorNode): string[] {
  const { recomputes } = explanation
  const again = recomputes ? [`It runs \`${recomputes}\` again, because its result was not kept.`] : []
  const split = Object.entries(explanation.splits).map(([dim, axes]) => {
    const by = [...new Set(node.partition?.splits[dim]?.flatMap((atom) => node.partition?.by[atom] ?? []))]
    return `Its dim \`${dim}\` is split over ${axes.join(' and ')}${by.length ? `, as ${by.join(' and ')} asks` : ''}.`
  })
  const passed = Object.keys(node.partition?.partial ?? {}).map((atom) => `It passes a partial sum over ${atom} on.`)
  const none = split.length + passed.length > 0 || node.barrier ? [] : ['No axis splits it: every rank does the same.']
  const partial = explanation.outputs.flatMap(({ tensor, placement }) =>
    placement.includes('partial') ? [`Its result \`${tensor}\` is partial: ${placement}.`] : [],
  )
  const cost = `${formatFlops(explanation.flops)}, reads ${formatWholeBytes(explanation.bytesRead)}, writes ${formatWholeBytes(explanation.bytesWritten)}`
  return [
    ...again,
    ...split,
    ...passed,
    ...none,
    ...partial,
    `On one rank: ${cost}, ${timesText(explanation.executions)}.`,
  ]
}

function timesText(executions: number): string {
  if (executions === 0) return 'never: it stands in another stage'
  return executions === 1 ? 'once a step' : `${formatCount(executions)} times a step`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
