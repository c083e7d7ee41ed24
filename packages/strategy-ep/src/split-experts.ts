import {
  divisors,
  findAxis,
  greatestCommonDivisor,
  orList,
  type Pass,
  type Preference,
  type Program,
  type Selector,
  ShardloomError,
  withPreferences,
} from '@shardloom/core'
import { expertCounts } from './expert-counts.js'
import type { ExpertParallelOptions } from './index.js'
import { placedIn } from './place-experts.js'

/** How tokens reach their experts. */
export type Dispatch = 'all-to-all' | 'all-gather'

/** The module that holds what one expert does. */
const expertModule = 'moe/experts'

/**
 * `ep/split-experts`: expert operators split their experts over `ep` and their width over `expertTp`. What these leave of
 * the ranks, `expertDp`, has tokens of its own: where tensor parallelism would split the experts' width, it is kept from
 * it. Dispatch and combine stay with the tokens; where nobody splits tokens, they stand with the experts. Tokens that both
 * split leave `ep` for experts and are gathered over `expertTp`: `ep` is innermost, to send what a rank has of its own.
 */
export function splitExperts(options: ExpertParallelOptions): Pass {
  return {
    name: 'ep/split-experts',
    phase: 'partition',
    after: ['ep/place-experts', 'ep/limit-tokens'],
    run(program, { warn }) {
      const { mesh } = program
      const atomsOf = (axis: string) => findAxis(mesh, axis)?.atoms ?? []
      const [ep, expertTp] = [atomsOf('ep'), atomsOf('expertTp')]
      if (!ep.length && !expertTp.length) {
        const idle = (['where', 'dispatch'] as const).filter((name) => options[name] !== undefined)
        if (idle.length) warn(`\`ep.${idle.join('` and `ep.')}\` changes nothing: \`ep\` and \`expertTp\` are 1`)
        return program
      }
      refuseIndivisible(program, findAxis(mesh, 'ep')?.degree ?? 1)
      const experts = expertOperators(options.where)
      const { module: _, ...rest } = options.where ?? {}
      const tokens: Selector = { ...rest, operator: ['dispatch', 'combine'] }
      const tensorParallel = atomsOf('tp')
      const repeated = atomsOf('expertDp').filter((atom) => tensorParallel.includes(atom))
      const wish = (axis: string, atoms: readonly string[], rest: Omit<Preference, 'strategy' | 'axis' | 'atoms'>) =>
        atoms.length ? [{ strategy: 'ep', axis, atoms, ...rest }] : []
      const gathers = options.dispatch === 'all-gather'
      return withPreferences(program, [
        ...wish('ep', ep, { class: 'experts', dims: ['experts'], where: experts, innermost: true }),
        ...wish('ep', ep, { class: gathers ? 'experts' : 'rest', dims: ['experts'], where: tokens }),
        ...wish('expertTp', expertTp, { class: 'experts', dims: ['ffn'], where: experts }),
        ...wish('expertDp', repeated, { class: 'experts', dims: ['seq', 'batch'], where: experts }),
        ...wish('expertDp', repeated, { class: 'rest', dims: ['seq', 'batch'], where: tokens }),
      ])
    },
  }
}

/** The expert operators among those selected. Throws `SELECTOR` when the selector names other modules only. */
function expertOperators(where: Selector | undefined): Selector {
  const modules = where?.module === undefined ? undefined : [where.module].flat()
  if (modules && !modules.some((module) => module === expertModule || expertModule.startsWith(`${module}/`))) {
    const named = modules.map((module) => `\`${module}\``)
    throw new ShardloomError('SELECTOR', `\`ep\` splits experts, but its \`where\` names ${orList(named)}.`, {
      subject: 'ep',
      help: `Leave \`module\` out of \`ep.where\`, or set it to \`${expertModule}\`.`,
    })
  }
  return { ...where, module: expertModule }
}

/** Throws `NO_EXPERTS` for a model without experts and `INDIVISIBLE` with the degrees that divide the experts of all layers. */
function refuseIndivisible(program: Program, degree: number): void {
  const sizes = expertCounts(program)
  if (sizes.length === 0) {
    throw new ShardloomError(
      'NO_EXPERTS',
      `There is nothing to split over \`ep\` and \`expertTp\`: the model has no experts.`,
      {
        subject: 'ep',
        help: 'Leave both out, or choose a mixture of experts.',
      },
    )
  }
  const stop = sizes.find((size) => size % degree !== 0)
  if (stop === undefined || program.uneven === 'ragged') return
  const working = divisors(sizes.reduce(greatestCommonDivisor))
  const placed = placedIn(program)
  const more = (placed ?? 0) + degree - (stop % degree)
  throw new ShardloomError(
    'INDIVISIBLE',
    `Cannot split ${stop} experts over axis \`ep\` (degree ${degree}): ${degree} does not divide them${placed !== undefined ? ', copies counted' : ''}.`,
    {
      subject: 'ep',
      help: `Use ${orList(working)}${placed !== undefined ? `, hold ${more} redundant experts` : ''}, or set \`uneven: ragged\` to let shares differ by one.`,
    },
  )
}
