import { lookup } from './draft.js'
import { type Check, unless } from './finding.js'
import { actionsOf, holderOf, holdersOf, type Pipeline, pipelineAtoms, type Stage } from './pipeline.js'
import { samePlacement } from './placement.js'
import { bodyAt, nodesOf, type OperatorNode, type Port, type Program, type Region, regionsOf, walk } from './program.js'
import { lastIteration, sourcesOf } from './source.js'

/**
 * Rule 4: every send has its recv, alike in what they move and how it is placed; nobody's group spans ranks that run
 * different parts of the program; each action of a schedule stands with the rank that holds its chunk. Whether the lists of
 * a pipeline's ranks can hang is for the plugin that brings the pipeline to say.
 */
export function* checkTransfers(program: Program): ReturnType<Check> {
  const { pipeline, items, tensors } = program
  const across = pipelineAtoms(program)
  const makers = makersOf(program)
  const met = new Set<string>()
  const sends: OperatorNode[] = []
  const nodes: { node: OperatorNode; scheduled: boolean }[] = []
  walk(items, (node, { path }) => {
    nodes.push({ node, scheduled: path.some(({ region }) => region.axis === 'microbatch') })
  })
  for (const { node, scheduled } of nodes) {
    const { id, op, communication, inputs, barrier } = node
    if (barrier) {
      const known = barrier.every((name) => program.mesh.atoms.some((atom) => atom.name === name))
      yield unless(
        known && !(scheduled && barrier.some((atom) => across.includes(atom))),
        id,
        `\`${id}\` waits for ranks along \`${barrier.join(' ')}\`, which do not come here with it.`,
        'Wait along atoms of the mesh, and for other stages only outside of the loop over microbatches.',
      )
    }
    if (!communication) continue
    if (communication.pool) {
      // The partner is in another program.
      yield unless(
        communication.atoms.length === 0,
        id,
        `\`${id}\` passes to or from another pool, but names ranks of its own.`,
        'Leave out its atoms.',
      )
      continue
    }
    if (op === 'send') sends.push(node)
    else if (op === 'recv') {
      const sources = makers(inputs[0] ?? '')
      const wrong = sources.find((maker) => maker?.op !== 'send')
      yield unless(
        sources.length > 0 && wrong === undefined && !sources.includes(undefined),
        id,
        `\`${id}\` receives \`${inputs[0]}\`, which ${wrong ? `\`${wrong.id}\` makes` : 'no node makes'} and no send hands on.`,
        'Let it read what a send has made.',
      )
      for (const send of sources) {
        if (send?.op !== 'send' || !send.communication) continue
        met.add(send.id)
        const [there, here] = [send.communication, communication]
        const fits =
          samePlacement(there.to, here.from) &&
          there.atoms.join() === here.atoms.join() &&
          (there.shift ?? 0) === -(here.shift ?? 0) &&
          sameShape(tensors, send.outputs[0], node.outputs[0])
        yield unless(
          fits,
          id,
          `\`${id}\` expects something else than \`${send.id}\` sends: another placement, shape or partner.`,
          'Let both say the same.',
        )
      }
    } else {
      const spans = pipeline !== undefined && scheduled && communication.atoms.some((atom) => across.includes(atom))
      yield unless(
        !spans,
        id,
        `\`${id}\` joins ranks of \`${pipeline?.axis}\`, which run different parts of a microbatch.`,
        'Communicate over the pipeline between stages, or after the loop over microbatches.',
      )
    }
  }
  for (const { id } of sends)
    yield unless(met.has(id), id, `\`${id}\` sends what nobody receives.`, 'Let a recv read it, or remove it.')
  if (!pipeline) return
  const sent = new Set(sends.flatMap(({ outputs }) => outputs))
  for (let direction = 0; direction < pipeline.directions; direction++) {
    for (const region of regionsOf(items)) yield* checkBorders(region, pipeline, direction, sent)
    yield* checkStages(program, pipeline, direction)
  }
  if (program.phase === 'training')
    yield unless(
      pipeline.actions.some((list) => list !== ''),
      pipeline.axis,
      `The pipeline \`${pipeline.schedule}\` has no actions: nobody runs the microbatches.`,
      'Give each rank the order of its work.',
    )
  for (let coordinate = 0; coordinate < pipeline.actions.length; coordinate++) {
    for (const { chunk, kind, microbatch } of actionsOf(pipeline, coordinate)) {
      const holder = pipeline.chunks[chunk]?.rank
      yield unless(
        holder === coordinate,
        `${pipeline.axis} ${coordinate}`,
        `\`${chunk}${kind}${microbatch}\` stands with ${pipeline.axis} ${coordinate}, but ${holder ?? 'nobody'} holds chunk ${chunk}.`,
        'Let the schedule and the chunks name the same ranks.',
      )
    }
  }
}

const sameShape = (tensors: Program['tensors'], a = '', b = '') =>
  lookup(tensors, a).shape.join() === lookup(tensors, b).shape.join()

/** What a node outside of the layers reads was made, or left by the layers, where the node stands. */
function* checkStages({ items }: Program, pipeline: Pipeline, direction: number): ReturnType<Check> {
  const sources = sourcesOf(items)
  const nodes = new Map(nodesOf(items).map((node) => [node.id, node]))
  const homeOf = (id: string): readonly (number | Stage)[] | undefined => {
    const source = sources.get(id)
    if (source?.kind === 'node') return nodes.get(source.id)?.stages
    if (source?.kind !== 'carry-result') return undefined
    return source.region.axis === pipeline.over ? [lastIteration(source.region)] : homeOf(source.port.next[0] ?? '')
  }
  for (const { id, op, stages, inputs } of nodes.values()) {
    if (!stages || op === 'recv') continue
    const here = holdersOf(pipeline, stages, direction)
    for (const input of inputs) {
      const home = homeOf(input)
      const there = home && holdersOf(pipeline, home, direction)
      yield unless(
        !there || there.some((each) => here.includes(each)),
        id,
        `\`${id}\` stands with ${pipeline.axis} ${here.join(' and ')} and reads \`${input}\`, which ${pipeline.axis} ${there?.join(' and ')} holds.`,
        'Send it there, or let the node stand where the value is.',
      )
    }
  }
}

/** A carried value that another coordinate of the pipeline reads must have been sent, and be received before it is read. */
function* checkBorders(
  region: Region,
  pipeline: Pipeline,
  direction: number,
  sent: ReadonlySet<string>,
): ReturnType<Check> {
  if (region.axis !== pipeline.over) return
  const holder = (iteration: number) => {
    const outside = iteration < 0 ? 'first' : iteration >= region.extent ? 'last' : iteration
    return holderOf(pipeline, outside, direction)
  }
  const step = region.order === 'reverse' ? -1 : 1
  for (const port of region.ports) {
    if (port.kind !== 'carry') continue
    for (let iteration = 0; iteration < region.extent; iteration++) {
      const next = iteration + step
      const body = region.bodies[bodyAt(region, iteration)]?.items ?? []
      const entered = holder(iteration - step) !== holder(iteration)
      const reads = ({ op, inputs }: OperatorNode) => op !== 'recv' && inputs.includes(port.inner)
      const reader = entered ? nodesOf(body).find(reads) : undefined
      yield unless(
        reader === undefined,
        reader?.id ?? region.id,
        `\`${reader?.id}\` reads \`${port.inner}\`, which comes from another rank (${region.axis} ${iteration}).`,
        'Let it read what a recv has made.',
      )
      if (next < 0 || next >= region.extent || holder(iteration) === holder(next)) continue
      const id = port.next[bodyAt(region, iteration)] ?? ''
      yield unless(
        sent.has(id),
        region.id,
        `\`${id}\` passes from ${pipeline.axis} ${holder(iteration)} to ${pipeline.axis} ${holder(next)} (${region.axis} ${iteration} to ${next}) without a send.`,
        'Run the pass `core/communicate`.',
      )
    }
  }
}

/** The nodes that make a tensor as a reader finds it: several behind a carry; undefined stands for none. */
function makersOf({ items }: Program): (id: string) => (OperatorNode | undefined)[] {
  const nodes = new Map<string, OperatorNode>()
  const ports = new Map<string, Extract<Port, { kind: 'carry' }>>()
  walk(items, (node) => {
    for (const id of node.outputs) nodes.set(id, node)
  })
  for (const region of regionsOf(items))
    for (const port of region.ports)
      if (port.kind === 'carry') {
        ports.set(port.inner, port)
        ports.set(port.result, port)
      }
  return (id) => {
    const port = ports.get(id)
    if (!port) return [nodes.get(id)]
    const all = [...port.next, ...(id === port.inner ? [port.initial] : [])].map((each) => nodes.get(each))
    const found = all.filter((node) => node?.op === 'send')
    return found.length ? found : all
  }
}
