import {
  bodyAt,
  type Communication,
  checkProgram,
  coordinates,
  definitionOf,
  type Item,
  lastIteration,
  lookup,
  neighbour,
  nodesOf,
  type OperatorNode,
  type OperatorTable,
  outsideRoles,
  type Placement,
  type Program,
  parseRule,
  type Region,
  type Source,
  samePlacement,
  sourcesOf,
  type Tensor,
} from '@shardloom/core'
import { type Block, combine, commonPositions, elementsOf, grow, take } from './block.js'
import { exchange, groupsOver } from './collective.js'
import { defaultLimit, type Estimate, refuseLarge } from './estimate.js'
import type { InitialValue } from './initial-values.js'
import { collectiveError, kernelError, missingValue, noSemantics, notComputed } from './interpret-errors.js'
import { Crew, isScheduled, type Part, runSchedule, type Team } from './interpret-pipeline.js'
import { type Iterations, keyOf, withoutAxis } from './iterations.js'
import { kernelContext } from './kernel-context.js'
import { resultBlocks } from './kernel-results.js'
import { Outside } from './outside.js'
import type { Recording, Results } from './recording.js'
import { type Prepared, Shapes } from './shapes.js'
import { wholeOf } from './whole.js'

/** How to run a program. */
export interface InterpretOptions {
  /** Values of tensors from outside; default: pseudo-random ones, the same for every mesh. */
  readonly initial?: InitialValue
  /** Sees each node when its ranks have run it: per result, the blocks of the team's ranks. */
  readonly observe?: (
    node: OperatorNode,
    iterations: Iterations,
    results: readonly (readonly Block[])[],
    team: Team,
  ) => void
  /** What an earlier run has computed; it is taken from there where a node reads the same. */
  readonly recording?: Recording
  /** What it may take at most; larger programs are refused with `INTERPRET_SIZE`. */
  readonly limit?: Partial<Estimate>
}

/** A program that has been run. */
export interface Interpretation {
  /**
   * What each rank holds of a tensor, by rank; of a pipeline's tensor an empty block where another stage makes it. Throws
   * `NOT_COMPUTED` when the program does not make it.
   */
  readonly blocks: (tensor: string, iterations?: Iterations) => readonly Block[]
  /** The whole tensor, row-major: shards put together, partial terms combined, replicas taken from the first rank that has it. */
  readonly whole: (tensor: string, iterations?: Iterations) => Float64Array
  /** How often each operator and each kind of communication ran, all ranks together. */
  readonly executed: ReadonlyMap<string, number>
}

/**
 * Runs a placed program on the ranks of its mesh, in one process and in float64. Every rank has a store of its own, from
 * which alone its kernels read; elements pass from one to another in communication nodes only, among the members of their
 * groups. What a node reads and its rank does not hold is therefore an error that names it (`MISSING_VALUE`), and a
 * collective that was left out a wrong number. Throws `NO_SEMANTICS` for operators without `execute`.
 */
export function interpret(program: Program, operators: OperatorTable, options: InterpretOptions = {}): Interpretation {
  checkProgram(program, operators)
  refuseLarge(program, { ...defaultLimit, ...options.limit })
  const interpreter = new Interpreter(program, operators, options)
  interpreter.run(program.items, new Map())
  return interpreter
}

class Interpreter implements Interpretation {
  readonly executed = new Map<string, number>()
  private readonly ranks: readonly ReadonlyMap<string, number>[]
  /** Tensor → iterations → blocks by rank: each rank's store is its column. */
  private readonly store = new Map<string, Map<string, Block[]>>()
  private readonly sources: ReadonlyMap<string, Source>
  private readonly groups = new Map<string, number[][]>()
  private readonly outside: Outside
  /** What a send has made → where it went. */
  private readonly sent = new Map<string, Communication>()
  private readonly crew: Crew
  private readonly shapes: Shapes
  private readonly makers: ReadonlyMap<string, OperatorNode>
  /** What of the program is being run, where a schedule says so. */
  private part: Part | undefined

  constructor(
    private readonly program: Program,
    private readonly operators: OperatorTable,
    private readonly options: InterpretOptions,
  ) {
    this.ranks = Array.from({ length: program.mesh.world }, (_, rank) => coordinates(program.mesh, rank))
    this.sources = sourcesOf(program.items)
    this.crew = new Crew(program)
    this.shapes = new Shapes(program, this.ranks)
    this.makers = new Map(nodesOf(program.items).map((node) => [node.id, node]))
    this.outside = new Outside(program, operators, options.initial)
  }

  blocks(tensor: string, iterations: Iterations = new Map()): readonly Block[] {
    const made = this.ranks.map((_, rank) => this.isMade(tensor, iterations, rank))
    return this.ranks.map((_, rank) =>
      made[rank] || !made.includes(true) ? this.read(tensor, iterations, rank) : noBlock,
    )
  }

  whole(tensor: string, iterations: Iterations = new Map()): Float64Array {
    const blocks = this.blocks(tensor, iterations)
    const first = this.ranks[blocks.findIndex((block) => block !== noBlock)]
    return wholeOf(blocks, this.shapes.current(tensor, iterations), this.program.mesh, first).values
  }

  run(items: readonly Item[], iterations: Iterations): void {
    for (const item of items) {
      if (item.type === 'region') this.runRegion(item, iterations)
      else this.runNode(item, iterations)
    }
  }

  private runRegion(region: Region, iterations: Iterations): void {
    const { pipeline } = this.program
    if (pipeline && isScheduled(region, pipeline)) {
      runSchedule(pipeline, (part) => {
        const body = region.bodies[bodyAt(region, part.microbatch)]
        this.part = part
        if (body) this.run(body.items, new Map(iterations).set(region.axis, part.microbatch))
        this.part = undefined
      })
      return
    }
    const within = region.axis === pipeline?.over ? this.part?.chunk : undefined
    for (let place = 0; place < region.extent; place++) {
      const iteration = region.order === 'reverse' ? region.extent - 1 - place : place
      if (within && (iteration < within.from || iteration >= within.to)) continue
      const body = region.bodies[bodyAt(region, iteration)]
      if (body) this.run(body.items, new Map(iterations).set(region.axis, iteration))
    }
  }

  private runNode(node: OperatorNode, iterations: Iterations): void {
    const { part } = this
    if (part && !part.accepts(node, iterations.get(this.program.pipeline?.over ?? ''))) return
    const coordinates = this.crew.coordinatesOf(node, iterations)
    const team = this.crew.team(part ? [part.coordinate] : coordinates)
    // What two stages of one rank contribute to is summed by the action that comes second.
    if (part && (node.stages?.length ?? 1) > 1 && !this.isReady(node, iterations, team)) return
    const gone = node.op === 'recv' ? undefined : node.inputs.find((id) => this.sent.get(id)?.shift !== undefined)
    if (gone !== undefined) throw collectiveError(node, `reads \`${gone}\`, which has been sent away`)
    this.executed.set(node.op, (this.executed.get(node.op) ?? 0) + team.ranks.length)
    const byResult = this.results(node, iterations, team)
    node.outputs.forEach((id, index) => {
      this.keep(id, keyOf(lookup(this.program.tensors, id), iterations), byResult[index] ?? [], team)
    })
    this.options.observe?.(node, iterations, byResult, team)
  }

  /** What the ranks of a team make of a node. What only moves is read by another rank, and costs nothing. */
  private results(node: OperatorNode, iterations: Iterations, team: Team): Results {
    const make = () => {
      const prepared = this.shapes.prepare(node, iterations)
      const results = node.communication
        ? this.communicate(prepared, iterations, team)
        : team.ranks.map((rank) => this.compute(prepared, rank, iterations))
      return node.outputs.map((_, index) => results.map((blocks) => blocks[index] ?? noBlock))
    }
    const { recording } = this.options
    if (!recording || node.op === 'send' || node.op === 'recv') return make()
    const { ranks } = team
    const read = node.inputs.flatMap((id) => {
      const held = this.store.get(id)?.get(keyOf(lookup(this.program.tensors, id), iterations))
      return ranks.map((rank) => {
        if (!this.isMade(id, iterations, rank)) return undefined
        return held?.[rank] ?? this.read(id, iterations, rank)
      })
    })
    // The teams of a node differ in their first ranks.
    return recording.recall(`${node.id} ${[...iterations.values()]} ${ranks[0]}`, node, read, make)
  }

  private isReady({ inputs }: OperatorNode, iterations: Iterations, { ranks }: Team): boolean {
    return inputs.every((id) => {
      const key = keyOf(lookup(this.program.tensors, id), iterations)
      return ranks.every((rank) => !this.isMade(id, iterations, rank) || this.store.get(id)?.get(key)?.[rank])
    })
  }

  private keep(id: string, key: string, blocks: readonly Block[], { ranks }: Pick<Team, 'ranks'>): void {
    const values = this.store.get(id) ?? new Map<string, Block[]>()
    this.store.set(id, values)
    const known = values.get(key) ?? []
    values.set(key, known)
    ranks.forEach((rank, index) => {
      known[rank] = blocks[index] ?? noBlock
    })
  }

  /** Whether a rank runs the node that makes a tensor; the other ranks of a pipeline hold nothing of it. */
  private isMade(id: string, iterations: Iterations, rank: number): boolean {
    if (!this.program.pipeline) return true
    const source = this.sources.get(id)
    const maker = source?.kind === 'node' ? this.makers.get(source.id) : undefined
    const coordinates = maker && this.crew.coordinatesOf(maker, iterations)
    return !coordinates || this.crew.team(coordinates).ranks.includes(rank)
  }

  private compute({ node, spaces, extents }: Prepared, rank: number, iterations: Iterations): readonly Block[] {
    const rule = parseRule(node.rule)
    const space = spaces[rank]
    const definition = definitionOf(node, this.operators)
    const { execute } = definition
    if (!execute) throw noSemantics(node)
    const positionsOf = (dims: readonly string[]) => dims.map((dim) => space?.get(dim) ?? nowhere)
    const operands = node.inputs.map((id, index) => {
      const positions = positionsOf(rule.operands[index] ?? [])
      // A contribution that another rank of the pipeline makes is added there.
      if (definition.joins && !this.isMade(id, iterations, rank)) return new Float64Array(elementsOf(positions))
      return this.taken(id, positions, node, rank, iterations).values.slice()
    })
    const context = kernelContext({ node, spaces, extents }, rule, definition, rank, iterations)
    let results: unknown
    try {
      results = execute(operands, context)
    } catch (cause) {
      throw kernelError(node, cause instanceof Error ? cause.message : String(cause), cause)
    }
    return resultBlocks(node, results, rule.results.map(positionsOf), rank)
  }

  /** Runs a communication node for every group; returns the results by rank. */
  private communicate({ node }: Prepared, iterations: Iterations, team: Team): readonly (readonly Block[])[] {
    const { communication, inputs } = node
    if (!communication) throw new Error('internal error: no communication')
    const [input = ''] = inputs
    const tensor = this.shapes.current(input, iterations)
    const positions = (placement: Placement, rank: number) =>
      this.shapes.held({ ...tensor, placement }, rank, iterations)
    if (node.op === 'send' || node.op === 'recv') {
      if (!samePlacement(communication.from, communication.to))
        throw collectiveError(node, 'changes the placement of what it only moves')
      if (node.op === 'send') this.sent.set(node.outputs[0] ?? '', communication)
      return team.ranks.map((rank) => {
        const from =
          node.op === 'send' || communication.pool ? rank : this.sender(node, communication, rank, iterations)
        return [this.taken(input, positions(communication.from, from), node, from, iterations)]
      })
    }
    const results = new Map<number, Block>()
    for (const all of this.groupsOver(communication.atoms)) {
      const members = all.filter((rank) => team.ranks.includes(rank))
      if (members.length === 0) continue
      const given = members.map((rank) =>
        this.taken(input, positions(communication.from, rank), node, rank, iterations),
      )
      const wanted = members.map((rank) => positions(communication.to, rank))
      const received = exchange({ node, communication, members, given, wanted })
      if ('why' in received) throw collectiveError(node, `fails among the ranks ${members.join(', ')}: ${received.why}`)
      members.forEach((rank, index) => {
        results.set(rank, received[index] ?? noBlock)
      })
    }
    return team.ranks.map((rank) => [results.get(rank) ?? noBlock])
  }

  /** The rank that a recv takes from. Throws `COLLECTIVE` when that rank sent elsewhere, or nothing. */
  private sender(node: OperatorNode, { atoms, shift }: Communication, rank: number, iterations: Iterations): number {
    const { mesh } = this.program
    if (shift === undefined && this.program.pipeline) return this.crew.sender(node, iterations, rank)
    const from = neighbour(mesh, rank, atoms, shift ?? -1)
    const sent = this.sent.get(node.inputs[0] ?? '')
    if (!sent) throw collectiveError(node, `receives \`${node.inputs[0]}\`, which no send has made`)
    const aim = neighbour(mesh, from, sent.atoms, sent.shift ?? 1)
    if (aim === rank) return from
    throw collectiveError(node, `lets rank ${rank} receive from rank ${from}, which sent to rank ${aim}`)
  }

  private groupsOver(atoms: readonly string[]): number[][] {
    const key = atoms.join()
    const groups = this.groups.get(key) ?? groupsOver(this.program.mesh, atoms)
    this.groups.set(key, groups)
    return groups
  }

  /** The part of a tensor that a node reads on one rank, from what that rank holds. */
  private taken(
    id: string,
    positions: readonly Int32Array[],
    node: OperatorNode,
    rank: number,
    iterations: Iterations,
  ): Block {
    const part = take(this.read(id, iterations, rank), positions)
    if ('values' in part) return part
    throw missingValue(node.id, rank, lookup(this.program.tensors, id), part)
  }

  /** What a rank holds of a tensor, from whatever stands behind it. */
  private read(id: string, iterations: Iterations, rank: number): Block {
    const tensor = lookup(this.program.tensors, id)
    const key = keyOf(tensor, iterations)
    const known = this.store.get(id)?.get(key)?.[rank]
    if (known) return known
    const source = this.sources.get(id)
    if (source?.kind === 'node') throw notComputed(tensor, `\`${source.id}\` has not run`)
    if (!source && (tensor.versionOf !== undefined || !outsideRoles.includes(tensor.role)))
      throw notComputed(tensor, 'nothing makes it')
    const make = () =>
      source
        ? this.fromPort(tensor, source, iterations, rank)
        : this.outside.part(tensor, this.shapes.held(tensor, rank, iterations), iterations)
    const { recording } = this.options
    const kept = source ? undefined : recording?.recall(`${id} ${key} ${rank}`, tensor, [], () => [[make()]])
    const block = kept?.[0]?.[0] ?? make()
    this.keep(id, key, [block], { ranks: [rank] })
    return block
  }

  private fromPort(
    tensor: Tensor,
    source: Exclude<Source, { kind: 'node' }>,
    iterations: Iterations,
    rank: number,
  ): Block {
    const { region, port } = source
    const at = (iteration: number) => new Map(iterations).set(region.axis, iteration)
    const current = this.shapes.current(tensor.id, iterations)
    if (source.kind === 'carry-inner') {
      const iteration = iterations.get(region.axis) ?? 0
      const before = region.order === 'reverse' ? iteration + 1 : iteration - 1
      const first = before < 0 || before >= region.extent
      return first
        ? this.handed(source.port.initial, withoutAxis(iterations, region.axis), current, region, rank, iterations)
        : this.handed(source.port.next[bodyAt(region, before)] ?? '', at(before), current, region, rank, iterations)
    }
    const last = lastIteration(region)
    if (source.kind === 'carry-result') return this.read(source.port.next[bodyAt(region, last)] ?? '', at(last), rank)
    const terms = Array.from({ length: region.extent }, (_, iteration) => {
      const inner = port.kind === 'reduce' ? port.inner[bodyAt(region, iteration)] : undefined
      if (!inner || !this.isMade(inner, at(iteration), rank)) return []
      return [this.handed(inner, at(iteration), current, region, rank)]
    }).flat()
    if (terms.length === 0 && this.program.pipeline) return this.nothing(current, rank, iterations)
    const sum = () => {
      const made = combine(terms, 'sum')
      if (!made) throw notComputed(tensor, `the iterations of \`${region.id}\` hold different parts of it`)
      return made
    }
    const key = `${tensor.id} ${[...iterations.values()]} ${rank}`
    return this.options.recording?.recall(key, tensor, terms, () => [[sum()]])[0]?.[0] ?? sum()
  }

  /** What a region's port hands on to a tensor on one rank: its part of it, with room for the positions that it grows by. */
  private handed(
    from: string,
    at: Iterations,
    to: Tensor,
    { id }: Region,
    rank: number,
    inside: Iterations = at,
  ): Block {
    const block = this.read(from, at, rank)
    const held = this.shapes.held(to, rank, inside)
    const ready = held.map((positions, dim) =>
      dim === to.growth?.position ? commonPositions(positions, block.positions[dim] ?? nowhere) : positions,
    )
    const part = take(block, ready)
    if ('values' in part) return grow(part, held)
    throw missingValue(id, rank, lookup(this.program.tensors, from), part)
  }

  /** The part of a sum that a rank of the pipeline holds when it makes none of its terms. */
  private nothing(tensor: Tensor, rank: number, iterations: Iterations): Block {
    const positions = this.shapes.held(tensor, rank, iterations)
    return { positions, values: new Float64Array(elementsOf(positions)) }
  }
}

const nowhere = new Int32Array()
const noBlock: Block = { positions: [], values: new Float64Array() }
