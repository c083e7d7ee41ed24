import type { Accelerator } from '@shardloom/cluster'
import { nearest, orList, ShardloomError } from '@shardloom/core'
import type { Efficiency } from './efficiency.js'

/**
 * How operators that work element by element become kernels. `eager`: each by itself, from several small kernels where a framework
 * has no single one. `fused`: as hand-written kernels have them. `compiled`: as a compiler joins them, norms too.
 */
export type KernelStyle = 'eager' | 'fused' | 'compiled'

/** How a system runs a plan, as far as the graph leaves it open: facts about the software, each with its source. */
export interface Engine {
  readonly name: string
  readonly source: string
  readonly kernels: KernelStyle
  /** Axes whose communication nothing is computed beside: it stands in the order of the compute stream. */
  readonly blocking: readonly string[]
  /**
   * Per axis the share of its collectives that runs inside of the matmuls beside them (communication-fused kernels), of all-to-alls beside
   * those of another microbatch.
   */
  readonly fused: Readonly<Record<string, number>>
  /** Axes, or several joined as in `dp·cp`, whose communication costs nothing, to see what it costs; what also runs over others stays. */
  readonly free: readonly string[]
  /**
   * Per operator how many times its bytes its kernels move: master copies in several passes, or no kernel of its own. A name with a slash is the
   * end of those of nodes, such as `experts/down_bias`: they are in no kernel of others.
   */
  readonly traffic: Readonly<Record<string, number>>
  /** Kernels that an element-wise operator consists of. */
  readonly launches: number
  /** Bytes that casting moves for each element that an eight-bit product reads. */
  readonly castBytes: number
  /** Of the rate of eight-bit products with one scale per tensor, what those with this engine's scales reach. */
  readonly castRate: number
  /** Whether backward casts the tokens again that forward multiplied, because it kept them in their own type. */
  readonly castsAgain: boolean
  /**
   * Seconds in which the host issues an operator, and a matrix product, of experts each one by itself, where it waits for the
   * device in each layer and is not ahead of it: no kernel is done sooner. Zero where launches are replayed or issued long before.
   */
  readonly host: { readonly operator: number; readonly product: number }
  /** Whether a token is sent to each of its experts, or once to each node and rank that has some of them. */
  readonly dispatch: 'per-expert' | 'per-node'
  /** Rank → how many times as long it computes as the others (a straggler has more than 1). */
  readonly slowdown: Readonly<Record<number, number>>
  /** Constants in place of those of the accelerator. */
  readonly efficiency: Partial<Efficiency>
  /** The accelerators on which these were found; on others their own stand. Absent: on all. */
  readonly foundOn?: readonly string[]
}

/** Adam in one pass moves 30 bytes for each parameter with the norm; these engines take more passes (bytes per parameter). */
const adamBytes = (bytes: number) => ({ adam: (bytes - 4) / 26 })
/** Bytes per logit over those of the three operators that a cross-entropy consists of, which read or write two each. */
const lossBytes = (bytes: number) => ({
  logit_max: bytes / 8,
  exponential_sum: bytes / 8,
  cross_entropy_gradient: bytes / 8,
})

const base = {
  kernels: 'fused',
  blocking: [],
  fused: {},
  free: [],
  slowdown: {},
  traffic: {},
  launches: 1,
  castBytes: 3,
  castRate: 1,
  castsAgain: false,
  host: { operator: 0, product: 0 },
  dispatch: 'per-expert',
  efficiency: {},
} as const

/** FlashAttention-2 on an H100, whose newer instructions it does not use (Shah et al. 2024, figure 5, for forward). */
const flash2 = {
  efficiency: { flashForward: 0.34, flashBackward: 0.16 },
  foundOn: ['h100-sxm', 'h200-sxm', 'h800-sxm'],
}

/** The engines that are known by name. */
export const engines = {
  usual: { ...base, name: 'usual', source: 'computes beside all communication that nothing waits for' },
  'megatron-2021': {
    ...base,
    name: 'megatron-2021',
    source: 'Megatron-LM of 2020 and 2021: no kernels overlap; matmuls as Narayanan et al. 2021, table 1, lets them be',
    blocking: ['tp', 'dp', 'pp'],
    traffic: { ...adamBytes(62), ...lossBytes(60) },
    efficiency: { matmul: 0.75 },
    foundOn: ['a100-40-sxm', 'a100-80-sxm'],
  },
  'megatron-2022': {
    ...base,
    name: 'megatron-2022',
    source: 'Megatron-LM of Korthikanti et al. 2022: gradients are reduced after backward, in several passes over them',
    blocking: ['tp', 'dp', 'pp'],
    traffic: { ...adamBytes(62), ...lossBytes(60) },
  },
  'megatron-2024': {
    ...base,
    name: 'megatron-2024',
    source: 'Megatron-Core r0.8 with Transformer Engine: userbuffers overlap tp, gradients and parameters overlap dp',
    fused: { tp: 0.9 },
    traffic: { ...adamBytes(50), ...lossBytes(60) },
  },
  'megatron-2025': {
    ...base,
    name: 'megatron-2025',
    source: 'Megatron-Core as Megatron-Bridge configures it: as megatron-2024, with a fused cross-entropy',
    fused: { tp: 0.9 },
    traffic: { ...adamBytes(50), ...lossBytes(30) },
  },
  torchtitan: {
    ...base,
    name: 'torchtitan',
    source: 'torchtitan of December 2024, compiled: Inductor fuses, FSDP prefetches, tp does not overlap',
    kernels: 'compiled',
    blocking: ['tp'],
    traffic: { ...adamBytes(40), ...lossBytes(30), rotary: 2 },
    castBytes: 7,
    castsAgain: true,
    ...flash2,
  },
  'torchtitan-async': {
    ...base,
    name: 'torchtitan-async',
    source: 'torchtitan with async tensor parallelism: matmuls in parts hide what of tp they can',
    kernels: 'compiled',
    blocking: ['tp'],
    fused: { tp: 0.28 },
    traffic: { ...adamBytes(40), ...lossBytes(30), rotary: 2 },
    castBytes: 7,
    castsAgain: true,
    ...flash2,
  },
  'torchtitan-eager': {
    ...base,
    name: 'torchtitan-eager',
    source: 'torchtitan of December 2024 without torch.compile: operators of PyTorch one by one',
    kernels: 'eager',
    blocking: ['tp'],
    launches: 3,
    traffic: {
      ...adamBytes(40),
      ...lossBytes(60),
      norm: 34 / 4,
      norm_gradient: 60 / 6,
      activation: 10 / 6,
      activation_gradient: 16 / 10,
      rotary: 28 / 4,
    },
    castBytes: 7,
    castsAgain: true,
    ...flash2,
  },
} as const satisfies Readonly<Record<string, Engine>>

/** The engine of that name. Throws `UNKNOWN_ENGINE` with the names that are known. */
export function findEngine(name: string): Engine {
  const found = Object.entries<Engine>(engines).find(([known]) => known === name)
  if (found) return found[1]
  const near = nearest(name, Object.keys(engines))
  throw new ShardloomError('UNKNOWN_ENGINE', `There is no engine \`${name}\`.`, {
    subject: name,
    help: near ? `Did you mean \`${near}\`?` : `Use ${orList(Object.keys(engines))}.`,
  })
}

/** An engine with changes: `preset` names the one to start from, default `usual`. Throws `UNKNOWN_ENGINE`. */
export function engineFrom({
  preset = 'usual',
  ...changes
}: { readonly [Key in keyof Engine]?: Engine[Key] | undefined } & { readonly preset?: string | undefined }): Engine {
  const { foundOn, ...named } = findEngine(preset)
  const given = Object.entries(changes).filter(([, value]) => value !== undefined)
  const found = foundOn && !changes.efficiency ? { foundOn } : {}
  const own = new Map<string, unknown>(Object.entries(named))
  const changed = given.filter(([key, value]) => JSON.stringify(own.get(key)) !== JSON.stringify(value)).map(changeText)
  const name = changed.length > 0 ? `${preset} with ${changed.join(', ')}` : preset
  return { ...named, ...found, ...Object.fromEntries(given), name }
}

/** A change in a few words: a value that is one or a list with its key, of others the keys. */
function changeText([key, value]: readonly [string, unknown]): string {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value)
  const words = isMap ? Object.keys(value) : [value].flat().map(String)
  return words.length === 0 ? `no ${key}` : `${key} ${words.join('·')}`
}

/** The constants that an engine has in place of those of an accelerator. */
export function efficiencyOn(
  { efficiency, foundOn }: Engine,
  { name, changed }: Pick<Accelerator, 'name' | 'changed'>,
): Partial<Efficiency> {
  return !foundOn || foundOn.includes(changed?.from ?? name) ? efficiency : {}
}
