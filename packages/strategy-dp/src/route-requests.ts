import {
  edit,
  findAxis,
  type Item,
  type OperatorDefinition,
  type OperatorNode,
  operandText,
  type Pass,
  type Program,
  rewriteItems,
  ShardloomError,
  type Stage,
  type Tensor,
  walk,
} from '@shardloom/core'

const operator = 'request_router'

/** Gives each engine its requests: every rank reads what its engine got, and no engine waits for another one. */
export const requestRouter: OperatorDefinition = {
  name: operator,
  kind: 'control',
  flops: 0,
  bytes: () => ({ read: 0n, written: 0n }),
  execute: (operands) => [...operands],
  describes: (_, { mesh }) =>
    `It gives each of ${findAxis(mesh, 'replicas')?.degree ?? 1} engines (\`replicas\`) its share of the requests; no engine waits for another one.`,
}

/**
 * `dp/route-requests`: with `replicas`, the requests of a batch pass a router before an engine reads them (as in front of
 * vLLM's data-parallel engine cores and SGLang's router). It stands before the first reader of each input that has a batch.
 * Throws `OPTION` in training, where a replica would be a rank of `dp`.
 */
export const routeRequests: Pass = {
  name: 'dp/route-requests',
  phase: 'partition',
  run(program) {
    const replicas = findAxis(program.mesh, 'replicas')?.degree ?? 1
    if (replicas === 1) return program
    if (program.phase === 'training') {
      const message = `\`replicas\` is ${replicas}, but engines behind a request router only serve; the phase is training.`
      throw new ShardloomError('OPTION', message, {
        subject: 'replicas',
        help: `Use \`dp\`: its ranks train one model on other sequences.`,
      })
    }
    const inputs = [...program.tensors.values()].filter(({ role, dims }) => role === 'input' && dims.includes('batch'))
    const routers = inputs.map((input) => routerOf(input, program))
    if (routers.every(({ id }) => program.tensors.has(id))) return program
    const draft = edit(program)
    inputs.forEach((input, index) => {
      const id = routers[index]?.id ?? ''
      draft.setTensor({ ...input, id, role: 'activation', versionOf: input.id })
    })
    draft.setItems(
      inputs.reduce<readonly Item[]>(
        (items, { id, per }, index) => routed(items, id, routers[index], per),
        program.items,
      ),
    )
    return draft.commit()
  },
}

/** The router of one input, standing with all that read it. */
function routerOf({ id: input, dims }: Tensor, program: Program): OperatorNode {
  const segment = program.phase === 'prefill' ? 'prefill' : 'decode'
  const readers: OperatorNode[] = []
  walk(program.items, (node) => {
    if (node.inputs.includes(input)) readers.push(node)
  })
  const stages = (['first', 'last'] as const).filter((stage: Stage) =>
    readers.some((reader) => reader.stages?.includes(stage)),
  )
  const id = `${segment}/requests/${input.slice(input.lastIndexOf('/') + 1)}`
  const text = operandText(dims)
  return {
    type: 'node',
    id,
    kind: 'control',
    op: operator,
    rule: `${text} -> ${text}`,
    inputs: [input],
    outputs: [id],
    segment,
    module: 'requests',
    ...(stages.length && { stages }),
  }
}

/** The items with the router in the body whose iterations have the input, and its result in the place of the input. */
function routed(items: readonly Item[], input: string, router: OperatorNode | undefined, per: readonly string[]) {
  const [axis, ...inner] = per
  if (!router) return items
  if (axis !== undefined)
    return items.map((item): Item => {
      if (item.type === 'node' || item.axis !== axis) return item
      const bodies = item.bodies.map((body) => ({ ...body, items: routed(body.items, input, router, inner) }))
      return { ...item, bodies }
    })
  const renamed = (id: string) => (id === input ? router.id : id)
  const replaced = rewriteItems(items, (list) =>
    list.map((item): Item => {
      if (item.type === 'node')
        return item.inputs.includes(input) ? { ...item, inputs: item.inputs.map(renamed) } : item
      const ports = item.ports.map((port) =>
        port.kind === 'carry' && port.initial === input ? { ...port, initial: router.id } : port,
      )
      return { ...item, ports }
    }),
  )
  const first = replaced.findIndex((item, index) => item !== items[index])
  return first < 0 ? items : replaced.toSpliced(first, 0, router)
}
