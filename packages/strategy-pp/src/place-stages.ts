import {
  holdersOf,
  type Item,
  nodesOf,
  type OperatorNode,
  type Partition,
  type Pass,
  type Pipeline,
  type Program,
  pipelineAtoms,
  regionsOf,
  ShardloomError,
  type Stage,
} from '@shardloom/core'

/** Where something stands: with the first chunk, the last, at the layers' own places, or with every rank. */
type Home = readonly Stage[] | 'layers' | 'everywhere'

/**
 * `pp/place-stages`: what stands before the layers goes with the first chunk, what stands behind them with the last.
 * What several coordinates hold or make a part of, such as a tied table, the loss or the gradients' norm, becomes a sum of
 * terms over the pipeline: the reductions follow.
 */
export const placeStages: Pass = {
  name: 'pp/place-stages',
  phase: 'partition',
  run(program) {
    const { pipeline } = program
    if (!pipeline || nodesOf(program.items).some(({ stages }) => stages)) return program
    return new Placement(program, pipeline).run()
  },
}

class Placement {
  private readonly homes = new Map<string, Home>()
  /** Parameter → where it is read in forward. */
  private readonly parameters = new Map<string, Home>()
  private readonly terms: ReadonlySet<string>

  constructor(
    private readonly program: Program,
    private readonly pipeline: Pipeline,
  ) {
    this.place(program.items, false)
    this.terms = this.partialSums()
  }

  run(): Program {
    return { ...this.program, items: this.mark(this.program.items) }
  }

  /** Finds a home for every node outside of the layers. */
  private place(items: readonly Item[], inLayers: boolean): void {
    const { over } = this.pipeline
    const makers = new Map<string, Home>()
    let passed: string | undefined
    for (const item of items) {
      if (item.type === 'region') {
        this.place(
          item.bodies.flatMap((body) => body.items),
          inLayers || item.axis === over,
        )
        // The layers may stand inside of a loop, over chunks of a prompt.
        if (!inLayers && [item, ...regionsOf([item])].some(({ axis }) => axis === over))
          passed = nodesOf([item])[0]?.segment
        continue
      }
      const home = inLayers ? 'layers' : this.homeOf(item, passed === item.segment, makers)
      this.homes.set(item.id, home)
      if (!inLayers) this.refuseBypass(item, home, makers)
      for (const id of item.outputs) makers.set(id, home)
      if (item.segment === 'backward' || item.segment === 'optimizer') continue
      for (const id of item.inputs)
        if (this.program.tensors.get(id)?.role === 'parameter')
          this.parameters.set(id, joined(this.parameters.get(id), home) ?? home)
    }
  }

  private homeOf(node: OperatorNode, behind: boolean, makers: ReadonlyMap<string, Home>): Home {
    if (node.segment === 'optimizer')
      return (node.updates !== undefined && this.parameters.get(node.updates)) || 'everywhere'
    if (node.segment !== 'backward') return [behind ? 'last' : 'first']
    const forward = node.differentiates === undefined ? undefined : this.homes.get(node.differentiates)
    if (forward) return forward
    let home: Home | undefined
    for (const id of node.inputs) home = joined(home, makers.get(id) ?? home)
    return home ?? [behind ? 'first' : 'last']
  }

  /** Only what the layers carry goes from stage to stage. Throws `PIPELINE` for a value that would have to go past them. */
  private refuseBypass({ id, inputs, segment }: OperatorNode, home: Home, makers: ReadonlyMap<string, Home>): void {
    if (segment === 'optimizer' || typeof home !== 'object') return
    const here = holdersOf(this.pipeline, home)
    const past = inputs.find((input) => {
      const from = makers.get(input)
      return (
        typeof from === 'object' &&
        !holdersOf(this.pipeline, from).some((each) => here.includes(each)) &&
        !isSum(from, home)
      )
    })
    if (past === undefined) return
    throw new ShardloomError(
      'PIPELINE',
      `\`${id}\` stands with the ${home.join(' and ')} stage and reads \`${past}\`, which the other end of the pipeline makes: only what the layers carry goes from stage to stage.`,
      { subject: id, help: 'Use pp 1 here; drafts of speculative decoding are such a value.' },
    )
  }

  /** The nodes that make a term of a sum over the pipeline. */
  private partialSums(): ReadonlySet<string> {
    const nodes = nodesOf(this.program.items)
    const makers = new Map<string, string>()
    for (const { id, outputs } of nodes) for (const output of outputs) makers.set(output, id)
    const found = new Set<string>()
    for (const { axis, ports } of regionsOf(this.program.items)) {
      if (axis !== 'microbatch') continue
      for (const port of ports) {
        if (port.kind !== 'reduce') continue
        const parameter = /^gradient\/(.*)$/.exec(port.result)?.[1]
        if (parameter !== undefined && !this.isShared(parameter)) continue
        for (const id of port.inner) if (id) found.add(makers.get(id) ?? '')
      }
    }
    for (const { id, op } of nodes) if (op === 'square_sum') found.add(id)
    return found
  }

  /** Whether several coordinates hold a parameter. */
  private isShared(parameter: string): boolean {
    if (this.pipeline.directions === 2) return true
    const home = this.parameters.get(parameter)
    if (home === 'everywhere') return true
    return home !== undefined && home !== 'layers' && holdersOf(this.pipeline, home).length > 1
  }

  private mark(items: readonly Item[]): Item[] {
    const atoms = pipelineAtoms(this.program)
    return items.map((item): Item => {
      if (item.type === 'region')
        return { ...item, bodies: item.bodies.map((body) => ({ ...body, items: this.mark(body.items) })) }
      const home = this.homes.get(item.id)
      const stages = typeof home === 'object' ? home : undefined
      const isTerm = this.terms.has(item.id)
      if (!stages && !isTerm) return item
      const partition: Partition = { splits: {}, partial: Object.fromEntries(atoms.map((atom) => [atom, []])), by: {} }
      return { ...item, ...(stages && { stages }), ...(isTerm && { partition }) }
    })
  }
}

/** Whether a node stands with several stages to sum what each of them makes. */
const isSum = (from: readonly Stage[], home: readonly Stage[]) =>
  home.length > 1 && from.every((each) => home.includes(each))

function joined(a: Home | undefined, b: Home | undefined): Home | undefined {
  if (a === undefined || a === b) return b
  if (b === undefined) return a
  if (a === 'everywhere' || b === 'everywhere' || a === 'layers' || b === 'layers') return 'everywhere'
  return (['first', 'last'] as const).filter((stage) => a.includes(stage) || b.includes(stage))
}
