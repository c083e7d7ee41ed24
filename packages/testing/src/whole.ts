import { along, coordinates, type Mesh, ShardloomError, type Tensor } from '@shardloom/core'
import { assemble, type Block, combine, shardPositions } from './block.js'

interface Held {
  readonly at: ReadonlyMap<string, number>
  readonly block: Block
}

/**
 * The whole tensor from what the ranks hold of it, one block per rank: terms of partial sums are combined, shards put
 * together. Of replicas the one that stands at `replica` counts, by default the first. Throws `INCOMPLETE` when the blocks are not what the placement says.
 */
export function wholeOf(
  blocks: readonly Block[],
  tensor: Pick<Tensor, 'id' | 'shape' | 'placement'>,
  mesh: Mesh,
  replica: ReadonlyMap<string, number> = new Map(),
): Block {
  const placement = tensor.placement ?? { shards: tensor.shape.map(() => []), partial: {} }
  const replicated = mesh.atoms.filter(({ name }) => along(placement, name).kind === 'replicate')
  let held = blocks
    .map((block, rank): Held => ({ at: coordinates(mesh, rank), block }))
    .filter(({ at }) => replicated.every(({ name }) => at.get(name) === (replica.get(name) ?? 0)))
  for (const [atom, reduction] of Object.entries(placement.partial)) {
    held = held
      .filter(({ at }) => at.get(atom) === 0)
      .map(({ at }) => {
        const others = mesh.atoms.filter(({ name }) => name !== atom)
        const terms = held.filter((other) => others.every(({ name }) => other.at.get(name) === at.get(name)))
        const block = combine(
          terms.map((term) => term.block),
          reduction,
        )
        if (!block) throw incomplete(tensor.id)
        return { at, block }
      })
  }
  const everything = tensor.shape.map((size) => shardPositions(size, [], mesh, new Map()))
  const whole = assemble(
    held.map(({ block }) => block),
    everything,
  )
  if (!whole) throw incomplete(tensor.id)
  const weights = held.length === 1 ? held[0]?.block.logSumExp : undefined
  return weights ? { ...whole, logSumExp: weights } : whole
}

function incomplete(id: string): ShardloomError {
  return new ShardloomError('INCOMPLETE', `What the ranks hold of \`${id}\` does not make up the whole tensor.`, {
    subject: id,
    help: 'Its placement says otherwise: run the pass `core/place` again.',
  })
}
