import { type Pass, type Program, ShardloomError, walk } from '@shardloom/core'
import { expertCounts } from './expert-counts.js'
import { isLimited } from './limit-tokens.js'
import { placedIn } from './place-experts.js'

/**
 * How tokens are spread over the experts of a layer: expert i gets a share proportional to (i + 1) to the minus `powerLaw`,
 * or to `counts[i]`, such as a profile counted it.
 */
export type Tokens = { readonly powerLaw: number } | { readonly counts: readonly number[] }

/**
 * `ep/load-experts`: says how tokens are spread over experts, where not evenly. What is computed stays the same; FLOPs and
 * bytes of a rank follow the load of the experts that it holds.
 */
export function loadExperts(tokens: Tokens | undefined): Pass {
  return {
    name: 'ep/load-experts',
    phase: 'partition',
    run(program, { warn }) {
      if (!tokens || program.loads?.['experts'] || placedIn(program) !== undefined || isLimited(program)) return program
      const sizes = expertCounts(program)
      const [experts] = sizes
      if (experts === undefined) {
        warn('`ep.tokens` changes nothing: the model has no experts')
        return program
      }
      if (sizes.length > 1) throw refuse(`layers have ${sizes.join(' and ')} experts`, 'Leave `ep.tokens` out.')
      const loads = 'counts' in tokens ? tokens.counts : powerLaw(experts, tokens.powerLaw)
      if (loads.length !== experts)
        throw refuse(`${loads.length} counts are given for ${experts} experts`, `Give ${experts} counts.`)
      refuseOverload(program, loads)
      return loads.every((load) => load === loads[0])
        ? program
        : { ...program, loads: { ...program.loads, experts: loads } }
    },
  }
}

/** Whole numbers, 2³⁰ for the first expert. */
function powerLaw(experts: number, exponent: number): number[] {
  return Array.from({ length: experts }, (_, expert) => Math.round(2 ** 30 * (expert + 1) ** -exponent))
}

/** A token that has k experts sends each of them one copy of itself: none can get more than a k-th of all copies. */
function refuseOverload(program: Program, loads: readonly number[]): void {
  let topK = 1
  walk(program.items, ({ op, density }) => {
    if (op === 'dispatch') topK = Math.max(topK, density?.[0] ?? 1)
  })
  const total = loads.reduce((sum, load) => sum + load, 0)
  const most = Math.max(...loads)
  if (total === 0) throw refuse('all counts are 0', 'Give at least one expert a token.')
  if (most * topK <= total) return
  const percent = Math.round((100 * most * topK) / total)
  throw refuse(
    `expert ${loads.indexOf(most)} would get ${percent} % of the tokens, each of which has ${topK} experts`,
    `Spread them so that no expert gets more than 1/${topK} of all.`,
  )
}

function refuse(why: string, help: string): ShardloomError {
  return new ShardloomError('TOKENS', `Cannot spread tokens over experts by \`ep.tokens\`: ${why}.`, {
    subject: 'ep',
    help,
  })
}
