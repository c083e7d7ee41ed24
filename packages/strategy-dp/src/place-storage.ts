import {
  dataTypes,
  edit,
  lookup,
  nodesOf,
  type Pass,
  type Placement,
  type Program,
  placementsOf,
  placementsOfTensors,
  samePlacement,
} from '@shardloom/core'
import { type Storage, trainingOnly } from './options.js'
import { type StorageAtoms, storageAtoms } from './storage-atoms.js'

/**
 * `dp/place-storage`: the placements that gradient accumulators and parameters are kept in. Accumulators: whatever partial
 * sums the microbatches leave, but sharded as the optimizer reads them from ZeRO-2 on. Parameters: as their readers want
 * them, but sharded as the optimizer writes them with ZeRO-3 (Rajbhandari et al. 2020, sections 5.2 and 5.3).
 */
export function placeStorage(options: Storage): Pass {
  const { zero, reduce, dpReplicate, gather } = options
  return {
    name: 'dp/place-storage',
    phase: 'place',
    run(program, { operators, warn }) {
      trainingOnly('reduce', reduce, program.phase)
      const atoms = storageAtoms(program.mesh, dpReplicate)
      if (atoms.shard.length + atoms.replicate.length === 0) {
        if (zero === 0) warn(`\`reduce: ${reduce}\` changes nothing: \`dp\` is 1, so that there is nothing to reduce`)
        return program
      }
      if (zero > 0) for (const message of undivided(program, atoms, options)) warn(message)
      if (zero < 3 && reduce === 'step') return program
      const placements = placementsOfTensors(program, operators)
      const draft = edit(program)
      const store = (id: string, placement: Placement, storage: 'use' | 'keep') => {
        const tensor = lookup(program.tensors, id)
        const known = placements.get(id)
        if (!tensor.storage && !(known && samePlacement(known, placement)))
          draft.setTensor({ ...tensor, placement, storage })
      }
      for (const node of nodesOf(program.items)) {
        if (node.updates === undefined) continue
        const { operands, results } = placementsOf(node, operators)
        node.inputs.forEach((id, index) => {
          const [made, read] = [placements.get(id), operands[index]]
          if (!made || !read || reduce === 'step' || lookup(program.tensors, id).role !== 'gradient') return
          store(id, accumulated(made, read, atoms, options), 'use')
        })
        node.outputs.forEach((id, index) => {
          const { nextOf } = lookup(program.tensors, id)
          const made = results[index]
          if (zero === 3 && made && nextOf !== undefined && nextOf === node.updates)
            store(nextOf, made, gather === 'use' ? 'use' : 'keep')
        })
      }
      return draft.commit()
    },
  }
}

/** Where the sum over microbatches stands, given how its terms are made and how the optimizer reads it. */
function accumulated(
  made: Placement,
  read: Placement,
  { shard, replicate }: StorageAtoms,
  { zero, reduce }: Storage,
): Placement {
  const stored = zero >= 2 ? read.shards : made.shards
  const resolved = [...stored.flat(), ...(reduce === 'microbatch' ? [...shard, ...replicate] : [])]
  const partial = Object.entries(made.partial).filter(([atom]) => !resolved.includes(atom))
  return { shards: stored, partial: Object.fromEntries(partial) }
}

/** What is said of parameters whose state every rank still holds: they have no dim with more than one element left. */
function undivided({ items, tensors }: Program, { shard }: StorageAtoms, { zero, where }: Storage): string[] {
  if (shard.length === 0) return []
  const updates = nodesOf(items).filter(({ updates }) => updates !== undefined)
  const isDivided = (node: (typeof updates)[number]) =>
    Object.values(node.partition?.splits ?? {}).some((atoms) => atoms.some((atom) => shard.includes(atom)))
  if (where) {
    const help = 'it has to match optimizer operators too, such as with `module` or `layers`'
    return updates.some(isDivided) ? [] : [`\`zero: ${zero}\` changes nothing where \`dp\`'s selector applies: ${help}`]
  }
  const whole = [...new Set(updates.filter((node) => !isDivided(node)).map(({ updates }) => updates ?? ''))]
  if (whole.length === 0) return []
  const bytes = whole.reduce((sum, id) => {
    const { shape, dtype } = lookup(tensors, id)
    return sum + shape.reduce((product, size) => product * size, dataTypes[dtype])
  }, 0)
  const names = whole.slice(0, 4).map((id) => `\`${id}\``)
  const more = whole.length > names.length ? ` and ${whole.length - names.length} more` : ''
  return [
    `\`zero: ${zero}\` cannot divide ${names.join(', ')}${more} (${bytes} bytes in all): one element is left of each`,
  ]
}
