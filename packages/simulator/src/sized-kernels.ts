import { lookup, type Program } from '@shardloom/core'
import type { Kernel } from './kernels.js'
import type { LocalSizes } from './local-sizes.js'
import { madeOn } from './made.js'
import type { KernelPlan, NodeTime, Recall } from './node-time.js'

/** What was found before of kernels, for samples of one model on one machine: by the names of kernels and their sizes. */
export interface KnownSizes {
  readonly times: Map<string, Map<string, NodeTime>>
  readonly payloads: Map<string, Map<string, number>>
}

/** Makes a {@link KnownSizes} of nothing. */
export const nothingKnown = (): KnownSizes => ({ times: new Map(), payloads: new Map() })

/** A kernel of a sample, with what is known of it by how much the shares have grown that it depends on. */
interface SizedKernel {
  readonly name: string
  readonly sizes: ReturnType<LocalSizes['sizesOf']>
  /** The number of those shares in {@link SizedKernels}. */
  readonly depends: number
  readonly times: Map<string, NodeTime>
  readonly payloads: Map<string, number>
}

/** The kernels of one rank of a sample, with all of them that sizes change. */
export class SizedKernels {
  private readonly own = new Map<Kernel, SizedKernel>()
  /** Kinds of share that kernels depend on together: a few for many kernels. */
  private readonly shares: (readonly number[])[] = []
  private of: KnownSizes | undefined

  constructor(
    plan: KernelPlan,
    part: Program,
    of: { readonly whole: Program; readonly rank: number; readonly sizes: LocalSizes },
  ) {
    const made = madeOn(of.whole, of.rank)
    const numbers = new Map<string, number>()
    for (const kernel of plan.kernels) {
      const sizes = new Map<string, ReturnType<LocalSizes['sizesOf']>[number]>()
      // Which of its dims have the same of them.
      const places = new Map<string, number>()
      let pattern = ''
      for (const each of of.sizes.sizesOf(kernel)) {
        const key = `${each.value} ${each.share}`
        const place = places.get(key) ?? sizes.set(key, each).size - 1
        places.set(key, place)
        pattern += `${place} `
      }
      const shares = [...new Set(Array.from(sizes.values(), ({ share }) => share))].sort((a, b) => a - b)
      const depends = numbers.get(shares.join()) ?? this.shares.push(shares) - 1
      numbers.set(shares.join(), depends)
      const name = `${nameOf(kernel, plan, part, made)} ${pattern}`
      this.own.set(kernel, { name, sizes: [...sizes.values()], depends, times: new Map(), payloads: new Map() })
    }
  }

  /** Remembers what kernels take where each kind of share has grown by its factor of `growths`. */
  recall(growths: Float64Array, known: KnownSizes): Recall {
    if (this.of !== known)
      for (const { times, payloads } of this.own.values()) for (const all of [times, payloads]) all.clear()
    this.of = known
    const grown = this.shares.map((shares) => shares.map((share) => growths[share] ?? 1).join(' '))
    const recalled = <T>(
      own: Map<string, T>,
      all: Map<string, Map<string, T>>,
      kernel: SizedKernel,
      find: () => T,
    ): T => {
      const key = grown[kernel.depends] ?? ''
      const before = own.get(key) ?? inSizes(all, kernel, growths, find)
      own.set(key, before)
      return before
    }
    return {
      // What communication takes depends on links as well.
      time: (kernel, find) => {
        const own = this.own.get(kernel)
        return !own || kernel.lead.communication ? find() : recalled(own.times, known.times, own, () => settled(find()))
      },
      payload: (kernel, find) => {
        const own = this.own.get(kernel)
        return own ? recalled(own.payloads, known.payloads, own, find) : find()
      },
    }
  }
}

/** What is known of kernels of a name in the sizes that one has grown to. */
function inSizes<T>(
  all: Map<string, Map<string, T>>,
  { name, sizes }: SizedKernel,
  growths: Float64Array,
  find: () => T,
): T {
  let named = all.get(name)
  if (!named) all.set(name, (named = new Map()))
  let key = ''
  for (const { value, share } of sizes) key += `${value * (growths[share] ?? 1)} `
  const known = named.get(key) ?? find()
  named.set(key, known)
  return known
}

/** A time that no longer holds on to the program that it was found in, where all its iterations take as long. */
function settled(time: NodeTime): NodeTime {
  if (time.grows !== undefined) return time
  const seconds = time.seconds(0)
  return { ...time, seconds: () => seconds }
}

/**
 * The nodes of a kernel, what of their results leaves it, in which types, and of which gradients another rank has the term: but for sizes
 * all that its time depends on.
 */
function nameOf(
  { nodes, kind }: Kernel,
  { readers, leaving }: KernelPlan,
  { tensors }: Program,
  made: ReadonlySet<string>,
): string {
  const inside = new Set(nodes)
  const texts = nodes.map(({ id, inputs, outputs, density, fusion }) => {
    const out = outputs.map((each) => {
      const all = readers.get(each) ?? []
      return leaving.has(each) ? 'p' : all.length === 0 ? 'n' : all.some((reader) => !inside.has(reader)) ? 'o' : 'i'
    })
    const types = [...inputs, ...outputs].map((each) => {
      const { dtype, density: own, role } = lookup(tensors, each)
      const type = role === 'gradient' && !made.has(each) ? 'elsewhere' : dtype
      return own ? `${type}*${own}` : type
    })
    return `${id} ${out} ${types} ${density ?? ''} ${fusion ?? ''}`
  })
  return `${kind} ${texts.join(' ')}`
}
