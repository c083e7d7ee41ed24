import type { Kernel, KernelContext } from '@shardloom/core'
import { numberOf } from './points.js'

/** One step of the 32-bit FNV-1a hash, and the final mixing of MurmurHash3. */
const step = (hash: number, value: number) => Math.imul(hash ^ value, 0x01000193) >>> 0
function mixed(hash: number): number {
  const first = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  const second = Math.imul(first ^ (first >>> 13), 0xc2b2ae35)
  return (second ^ (second >>> 16)) >>> 0
}

/** A number of [0, 1) for each local element, from its position over all ranks: every rank that holds it draws the same. */
function draws(context: KernelContext): Float64Array {
  const { rule, positions, iteration, node } = context
  const dims = rule.operands[0] ?? []
  let start = 0x811c9dc5
  for (const letter of String(node.attributes?.['seed'])) start = step(start, letter.charCodeAt(0))
  for (const axis of ['microbatch', 'layer']) start = step(start, iteration(axis))
  let hashes = Uint32Array.of(start)
  for (const dim of dims) {
    const places = positions(dim)
    const next = new Uint32Array(hashes.length * places.length)
    for (let index = 0; index < hashes.length; index++) {
      const hash = mixed(hashes[index] ?? 0)
      const row = index * places.length
      for (let place = 0; place < places.length; place++) next[row + place] = step(hash, places[place] ?? 0)
    }
    hashes = next
  }
  const drawn = new Float64Array(hashes.length)
  for (let index = 0; index < drawn.length; index++) drawn[index] = mixed(hashes[index] ?? 0) / 2 ** 32
  return drawn
}

/** Sets a share of the elements to zero and scales the others; the second result says which are kept. */
export const drop: Kernel = ([x = new Float64Array()], context) => {
  const rate = numberOf(context, 'rate') ?? 0
  const mask = draws(context).map((draw) => (draw < rate ? 0 : 1))
  return [x.map((value, index) => (value * (mask[index] ?? 0)) / (1 - rate)), mask]
}

/** The gradient of what was kept. */
export const dropGradient: Kernel = ([gradient = new Float64Array(), mask = new Float64Array()], context) => {
  const rate = numberOf(context, 'rate') ?? 0
  return [gradient.map((value, index) => (value * (mask[index] ?? 0)) / (1 - rate))]
}
