import { divisors, greatestCommonDivisor, nearest, orList, ShardloomError } from '@shardloom/core'
import { checkSpec } from '../parse-spec.js'
import type { LoadedSpec } from '../plan.js'
import { engineOf, layersOf } from '../simulate-serving.js'
import { gridTo } from './choices.js'
import type { Question } from './question.js'
import { meanLoadOf } from './serving-steps.js'

/** The degrees of an engine. */
export const engineAxes = ['tp', 'pp', 'dp', 'ep', 'expertTp', 'dcp'] as const

/** An engine of a candidate: its degrees, none of which is left out. */
export type EngineDegrees = Readonly<Record<(typeof engineAxes)[number], number>>

/** Element types of a candidate, where the question asks for several. */
export type EngineTypes = Readonly<Partial<Record<'weightDtype' | 'cacheDtype', string>>>

/** Candidates that share what steps of their engines take: independent of all other groups. */
export interface ServingGroup {
  readonly name: string
  readonly pools: 1 | 2
  /** Of the engines, of two pools those of decode. */
  readonly engine: EngineDegrees
  readonly types: EngineTypes
}

/** All that a search of serving tries. */
export interface ServingSpace {
  /** In an order that does not depend on who works on them. */
  readonly groups: readonly ServingGroup[]
  /** The engines of prefill that go with each group of two pools. */
  readonly prefill: readonly EngineDegrees[]
  /** Of each group how many engines, of two pools of prefill and decode, by the degrees of both. */
  readonly counts: (group: ServingGroup, prefill?: EngineDegrees) => readonly (readonly [number, number])[]
  /** Clients over so many engines, ascending; none: requests come at a rate. */
  readonly clients: (engines: number) => readonly number[]
}

const pools = ['prefill', 'decode'] as const
/** What of serving can be chosen. */
export const servingChoices: readonly string[] = [
  ...['pools', 'replicas', 'clients', 'weightDtype', 'cacheDtype'],
  ...engineAxes,
  ...pools.flatMap((pool) => ['replicas', ...engineAxes].map((axis) => `${pool}.${axis}`)),
]

/** Clients of an engine that are tried at most. */
const mostClients = 4096

export function ranksOf({ tp, pp, dp }: EngineDegrees): number {
  return tp * pp * dp
}

/**
 * The space of a question. An engine has `tp · pp · dp` ranks: a divisor of those of the question, so that engines fill them, but where
 * `ranks` are the objective. Without a word on them: `tp` divides the heads of queries; `dp` inside an engine where the model has experts, else it is the same as more
 * engines; experts lie on all of its ranks of a stage, `ep · expertTp = dp · tp`, as inference engines have it; `dcp` splits what `tp` would hold
 * copies of; clients are powers of two and what lies between them in the middle. Throws `CHOICE`.
 */
export function servingSpace(loaded: LoadedSpec, question: Question): ServingSpace {
  const { choices, ranks, objective } = question
  checkServingChoices(question)
  const { architecture } = loaded
  const kinds = Object.values(architecture.layers)
  const experts = kinds.flatMap(({ ffn }) => (ffn.kind === 'moe' ? [ffn.experts] : []))
  const heads = kinds.flatMap(({ attention }) => (attention.kind === 'undrawn' ? [] : [attention.heads]))
  const splits = (tp: number) => loaded.spec.options.uneven === 'ragged' || heads.every((count) => count % tp === 0)
  const kvHeads = kinds.flatMap(({ attention }) => (attention.kind === 'grouped' ? [attention.kvHeads] : [1]))
  const layers = layersOf(loaded)
  const listed = (axis: string, pool?: string) => numbers(choices[`${pool}.${axis}`] ?? choices[axis])
  const fills = objective !== 'ranks'

  const engines = (phase: 'prefill' | 'decode' | undefined, most: number): EngineDegrees[] => {
    const degrees = (axis: string, usual: readonly number[]) => listed(axis, phase) ?? usual
    const sizes = phase === undefined && fills ? divisors(ranks) : range(1, most)
    return sizes.flatMap((size) =>
      degrees(
        'pp',
        divisors(size).filter((pp) => pp <= layers),
      ).flatMap((pp) =>
        degrees('dp', experts.length > 0 ? divisors(size / pp) : [1]).flatMap((dp) => {
          const tp = size / pp / dp
          if (!Number.isInteger(tp) || !degrees('tp', splits(tp) ? [tp] : []).includes(tp)) return []
          const over = dp * tp
          const eps = degrees('ep', experts.length > 0 ? divisors(over) : [1])
          const copies = Math.max(...kvHeads.map((heads) => tp / greatestCommonDivisor(tp, heads)))
          const dcps = degrees('dcp', phase === 'prefill' || copies === 1 ? [1] : [1, copies])
          return eps.flatMap((ep) =>
            degrees('expertTp', experts.length > 0 && over % ep === 0 ? [over / ep] : [1]).flatMap((expertTp) =>
              dcps.map((dcp) => ({ tp, pp, dp, ep, expertTp, dcp })),
            ),
          )
        }),
      ),
    )
  }

  const asked = numbers(choices['pools']) ?? [1]
  const types = typesOf(choices)
  const prefill = asked.includes(2) ? engines('prefill', ranks - 1) : []
  const groups = asked.flatMap((count) =>
    engines(count === 2 ? 'decode' : undefined, count === 2 ? ranks - 1 : ranks).flatMap((engine) =>
      types.map((own): ServingGroup => {
        const parts = [...(count === 2 ? ['pools=2'] : []), degreesText(engine), ...Object.entries(own).map(textOf)]
        return { name: parts.join(' '), pools: count === 2 ? 2 : 1, engine, types: own }
      }),
    ),
  )
  const { scheduler } = engineOf(loaded)
  const load = meanLoadOf(loaded)
  const given = listed('clients') ?? (load.clients !== undefined ? [load.clients] : undefined)
  const mostDp = Math.max(1, ...groups.map(({ engine }) => engine.dp))
  const grid = gridTo(Math.min(mostClients, scheduler.maxSequences * mostDp))
  return {
    groups,
    prefill,
    clients: (count) =>
      load.rate !== undefined ? [] : [...(given ?? grid.map((each) => each * count))].sort((a, b) => a - b),
    counts: ({ engine, pools: count }, other) => {
      const own = ranksOf(engine)
      const filter = (pool: string | undefined, all: readonly number[]) =>
        all.filter((each) => listed('replicas', pool)?.includes(each) ?? true)
      if (count === 1 || !other)
        return filter(undefined, fills ? whole(ranks / own) : range(1, ranks / own)).map((each) => [0, each])
      return filter('decode', range(1, ranks / own)).flatMap((decoders) => {
        const left = (ranks - decoders * own) / ranksOf(other)
        return filter('prefill', fills ? whole(left) : range(1, left)).map((each) => [each, decoders] as const)
      })
    },
  }
}

/** Degrees above 1 as text, and `tp` always: `tp=4 pp=2`. */
export function degreesText(engine: EngineDegrees, prefix = ''): string {
  return engineAxes
    .filter((axis) => axis === 'tp' || engine[axis] > 1)
    .map((axis) => textOf([`${prefix}${axis}`, engine[axis]]))
    .join(' ')
}

export function textOf([name, value]: readonly [string, unknown]): string {
  return `${name}=${value}`
}

function typesOf(choices: Question['choices']): EngineTypes[] {
  const listed = (name: string) => choices[name]?.map(String) ?? [undefined]
  return listed('weightDtype').flatMap((weightDtype) =>
    listed('cacheDtype').map((cacheDtype) => ({
      ...(weightDtype !== undefined && { weightDtype }),
      ...(cacheDtype !== undefined && { cacheDtype }),
    })),
  )
}

/** Refuses choices that serving does not have, and values that they cannot have. Throws `CHOICE`, and `SPEC_VALUE` for types that there are not. */
export function checkServingChoices({ choices, spec }: Pick<Question, 'choices' | 'spec'>): void {
  for (const [name, values] of Object.entries(choices)) {
    if (!servingChoices.includes(name)) {
      const near = nearest(name, servingChoices)
      throw new ShardloomError('CHOICE', `Serving has no choice \`${name.slice(0, 60)}\`.`, {
        subject: name.slice(0, 60),
        help: `${near === undefined ? '' : `Did you mean \`${near}\`? `}It has ${orList(servingChoices)}.`,
      })
    }
    const types = name.endsWith('Dtype')
    const expected = types ? 'element types' : name === 'pools' ? '1 and 2' : 'whole numbers from 1'
    const most = name === 'pools' ? 2 : Number.MAX_SAFE_INTEGER
    const wrong = values.find((value) =>
      types ? typeof value !== 'string' : !Number.isSafeInteger(value) || Number(value) < 1 || Number(value) > most,
    )
    if (values.length === 0 || wrong !== undefined)
      throw new ShardloomError(
        'CHOICE',
        `The values of \`${name}\` are ${expected}; ${wrong === undefined ? 'none is given' : `one is ${JSON.stringify(wrong)}`}.`,
        {
          subject: name,
          help: `Give at least one, such as ${types ? '`fp8`' : '`1`'}.`,
        },
      )
    // Which element types there are the spec says.
    if (types) for (const value of values) checkSpec({ ...spec, options: { ...spec.options, [name]: value } })
  }
}

const numbers = (values: readonly unknown[] | undefined) => values?.map(Number)
const whole = (value: number) => (Number.isInteger(value) && value > 0 ? [value] : [])
const range = (from: number, to: number) =>
  Array.from({ length: Math.max(0, Math.floor(to) - from + 1) }, (_, at) => from + at)
