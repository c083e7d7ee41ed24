import { assert, ShardloomError } from './error.js'
import { atomDegree, type Mesh, shareOf } from './mesh.js'

/** How the values of a partial tensor combine into the whole one. `lse` is the log-sum-exp merge of attention. */
export type Reduction = 'sum' | 'max' | 'lse'

/**
 * Where a tensor's elements live. Per position an ordered list of atoms, major first: the ranks along them hold
 * consecutive shards. `partial` names the atoms along which each rank holds a term of the whole value. On every other
 * atom the tensor is replicated.
 */
export interface Placement {
  readonly shards: readonly (readonly string[])[]
  readonly partial: Readonly<Record<string, Reduction>>
}

/** A tensor's state along one atom. */
export type Along =
  | { readonly kind: 'replicate' }
  | { readonly kind: 'shard'; readonly position: number }
  | { readonly kind: 'partial'; readonly reduction: Reduction }

/** The placement that replicates a tensor of `rank` positions. */
export function replicated(rank: number): Placement {
  return { shards: Array.from({ length: rank }, () => []), partial: {} }
}

/** How `placement` stands along `atom`. */
export function along(placement: Placement, atom: string): Along {
  const position = placement.shards.findIndex((atoms) => atoms.includes(atom))
  if (position >= 0) return { kind: 'shard', position }
  const reduction = placement.partial[atom]
  return reduction ? { kind: 'partial', reduction } : { kind: 'replicate' }
}

/** The placement without its partial atoms. */
export function withoutPartial(placement: Placement): Placement {
  return { shards: placement.shards, partial: {} }
}

const texts = new WeakMap<Placement, string>()

/**
 * Text such as `seq/tp · partial(sum)/dp` or `replicate`: equal for equal placements. `dims` names the positions.
 */
export function placementText(placement: Placement, dims?: readonly string[]): string {
  const known = dims ? undefined : texts.get(placement)
  if (known !== undefined) return known
  const parts = placement.shards.flatMap((atoms, position) =>
    atoms.length ? [`${dims?.[position] ?? position}/${atoms.join('.')}`] : [],
  )
  for (const atom of Object.keys(placement.partial).sort()) parts.push(`partial(${placement.partial[atom]})/${atom}`)
  const text = parts.join(' · ') || 'replicate'
  if (!dims) texts.set(placement, text)
  return text
}

/** Whether two placements are the same, nesting order included. */
export function samePlacement(a: Placement, b: Placement): boolean {
  return a === b || (isSlice(a, b) && isSlice(b, a))
}

function sameReductions(a: Placement, b: Placement): boolean {
  for (const atom in a.partial) if (a.partial[atom] !== b.partial[atom]) return false
  for (const atom in b.partial) if (a.partial[atom] !== b.partial[atom]) return false
  return true
}

/** The shape of one rank's shard. `at` gives the rank's coordinate per atom. */
export function localShape(
  shape: readonly number[],
  placement: Placement,
  mesh: Mesh,
  at: ReadonlyMap<string, number>,
): number[] {
  return shape.map((size, position) => localSize(size, placement.shards[position] ?? [], mesh, at))
}

/** How many of `size` elements the rank at `at` holds when they are split over `atoms`, major first. */
export function localSize(size: number, atoms: readonly string[], mesh: Mesh, at: ReadonlyMap<string, number>): number {
  let local = size
  for (const atom of atoms) local = shareOf(local, atomDegree(mesh, atom), at.get(atom) ?? 0)
  return local
}

/** One step of a conversion between placements. */
export interface TransitionStep {
  readonly op: 'slice' | 'reduce-scatter' | 'all-reduce' | 'all-to-all' | 'all-gather'
  readonly atoms: readonly string[]
  readonly reduction?: Reduction
  readonly from: Placement
  readonly to: Placement
}

/**
 * The steps that turn placement `from` into `to`, in the order slice, reduce-scatter, all-reduce, all-to-all,
 * all-gather. Only the innermost atom of a position can be appended or removed; several atoms with the same fate share
 * one step. Throws `ORDER_CONFLICT` when the two nest the same atoms in different orders: such a conversion would need a
 * hidden gather. `unreachable` conversions (whole to partial) throw `PLACEMENT`.
 */
export function transition(from: Placement, to: Placement, mesh: Mesh): TransitionStep[] {
  const steps: TransitionStep[] = []
  let current = from
  const atoms = mesh.atoms.map((atom) => atom.name)
  const fits = (position: number, atom: string, shards = current.shards) => {
    const have = shards[position] ?? []
    const want = to.shards[position] ?? []
    return want[have.length] === atom && have.every((each, index) => want[index] === each)
  }
  const push = (op: TransitionStep['op'], over: readonly string[], next: Placement, reduction?: Reduction) => {
    steps.push({ op, atoms: over, ...(reduction && { reduction }), from: current, to: next })
    current = next
  }
  const appended = (position: number, over: readonly string[], placement: Placement = current): Placement => ({
    ...placement,
    shards: placement.shards.map((list, index) => (index === position ? [...list, ...over] : list)),
  })
  const resolved = (over: readonly string[]): Placement => ({
    ...current,
    partial: Object.fromEntries(Object.entries(current.partial).filter(([atom]) => !over.includes(atom))),
  })
  const advance = (): boolean => {
    for (const atom of atoms) {
      const target = along(to, atom)
      if (target.kind !== 'shard' || along(current, atom).kind !== 'replicate' || !fits(target.position, atom)) continue
      push('slice', [atom], appended(target.position, [atom]))
      return true
    }
    for (const atom of atoms) {
      const state = along(current, atom)
      const target = along(to, atom)
      if (state.kind !== 'partial' || target.kind !== 'shard' || !fits(target.position, atom)) continue
      const rest = (to.shards[target.position] ?? []).slice((current.shards[target.position] ?? []).length)
      const stop = rest.findIndex((each) => current.partial[each] !== state.reduction)
      const over = stop < 0 ? rest : rest.slice(0, stop)
      push('reduce-scatter', over, appended(target.position, over, resolved(over)), state.reduction)
      return true
    }
    for (const atom of atoms) {
      const state = along(current, atom)
      if (state.kind !== 'partial' || along(to, atom).kind !== 'replicate') continue
      const over = atoms.filter(
        (each) => current.partial[each] === state.reduction && along(to, each).kind === 'replicate',
      )
      push('all-reduce', over, resolved(over), state.reduction)
      return true
    }
    const moving = atoms.filter((atom) => {
      const [state, target] = [along(current, atom), along(to, atom)]
      return state.kind === 'shard' && target.kind === 'shard' && state.position !== target.position
    })
    for (const over of moving.length > 1 ? [moving, ...moving.map((atom) => [atom])] : [moving]) {
      const next = over.length ? moved(current, to, over) : undefined
      if (!next) continue
      push('all-to-all', over, next)
      return true
    }
    for (const [position, list] of current.shards.entries()) {
      let keep = list.length
      while (keep > 0 && along(to, list[keep - 1] ?? '').kind === 'replicate') keep--
      if (keep === list.length) continue
      const shards = current.shards.map((each, index) => (index === position ? each.slice(0, keep) : each))
      push('all-gather', list.slice(keep), { ...current, shards })
      return true
    }
    return false
  }
  while (!samePlacement(current, to)) {
    if (!advance()) throw blocked(from, to)
    assert(steps.length <= 4 * atoms.length + 4, 'a placement transition does not end')
  }
  return steps
}

/**
 * `from` with `over` moved to the positions that they have in `to`, if they stand innermost and go innermost there, and
 * no position both gives and gets: then all members of the group exchange blocks of one size.
 */
function moved(from: Placement, to: Placement, over: readonly string[]): Placement | undefined {
  const starts = (list: readonly string[], start: readonly string[]) =>
    start.every((atom, index) => list[index] === atom)
  const shards: (readonly string[])[] = []
  for (const [position, list] of from.shards.entries()) {
    const want = to.shards[position] ?? []
    const kept = list.filter((atom) => !over.includes(atom))
    const next = [...kept, ...want.filter((atom) => over.includes(atom))]
    const fits = next.length === kept.length ? starts(list, kept) : kept.length === list.length && starts(want, next)
    if (!fits) return undefined
    shards.push(next)
  }
  return { ...from, shards }
}

function blocked(from: Placement, to: Placement): ShardloomError {
  const texts = `from \`${placementText(from)}\` to \`${placementText(to)}\``
  if (Object.keys(to.partial).some((atom) => !from.partial[atom])) {
    return new ShardloomError('PLACEMENT', `Cannot go ${texts}: a whole value is not turned into a partial one.`)
  }
  return new ShardloomError('ORDER_CONFLICT', `Cannot go ${texts}: the two nest the same ranks in different orders.`, {
    help: 'Order the axes so that the one split by both stands outside the other.',
  })
}

/** Whether a reader that wants `to` can take it from `from` by a local slice, without any communication. */
export function isSlice(from: Placement, to: Placement): boolean {
  const starts = (atoms: readonly string[], position: number) =>
    atoms.every((atom, index) => to.shards[position]?.[index] === atom)
  return sameReductions(from, to) && from.shards.every(starts)
}

/**
 * Bytes that one rank sends in a collective of `size` ranks by a ring, given the bytes `payload` of the tensor logical
 * to the group (Thakur, Rabenseifner and Gropp 2005, section 4; all-to-all: direct exchange).
 */
export function ringBytes(op: string, payload: number, size: number): number {
  const share = (payload * (size - 1)) / size
  switch (op) {
    case 'all-reduce':
      return 2 * share
    case 'all-gather':
    case 'reduce-scatter':
    case 'broadcast':
      return share
    case 'all-to-all':
      return share / size
    case 'send':
      return payload
    default:
      return 0
  }
}

/** Bytes of the tensor logical to the group of a step: what its members hold together, a replica counted once. */
export function payloadOf(
  step: Pick<TransitionStep, 'atoms' | 'from'>,
  bytes: (placement: Placement) => number,
): number {
  const shards = step.from.shards.map((atoms) => atoms.filter((atom) => !step.atoms.includes(atom)))
  return bytes({ ...step.from, shards })
}
