import { ShardloomError } from '@shardloom/core'
import { links as records } from './data/links.js'
import { splitFacts } from './facts.js'
import { nearestFirst, readerOf } from './read.js'

/**
 * A kind of link between ranks, with what the cost of a collective over it depends on: see {@link collectiveSeconds} for
 * the formula. Seconds, and bytes per second of one direction.
 */
export interface Link {
  readonly name: string
  /** Such as `NVLink 4 + NVSwitch`. */
  readonly kind: string
  /** Nominal, per rank; of a torus, per link. B/s. */
  readonly bandwidth: number
  /** The share of `bandwidth` that large transfers sustain, at most 1. */
  readonly efficiency: number
  /** Seconds of one step of an algorithm (α). */
  readonly latency: number
  /** In a full mesh without a switch: the bandwidth between two ranks, B/s. A group of k ranks uses k − 1 such links. */
  readonly perPeer?: number
  /** Whether ranks of the level stand in a ring, an axis of a torus, instead of around a switch. */
  readonly torus?: boolean
  /** Of switches that add and multicast: the share of `bandwidth` that a reduction sustains, and seconds of a step. */
  readonly reduction?: { readonly efficiency: number; readonly latency: number }
  /** Seconds that a collective takes before it starts to move bytes (a0). Default 0. */
  readonly launch: number
  /** Seconds in which the pipeline of chunks fills (τ); a transfer of t seconds takes t + 2√(τt). Default 0. */
  readonly fill: number
  /** B/s at which a rank copies its own share from input to output, which no link does for it. Default: no time. */
  readonly copyBandwidth?: number
  /** B/s at which a rank adds what it receives (γ). Default: no time, as it overlaps with the transfer. */
  readonly reduceBandwidth?: number
}

const fields =
  'name kind bandwidth efficiency latency perPeer torus reduction launch fill copyBandwidth reduceBandwidth'.split(' ')
/** What no share is near to: those above 1 are refused with a word of their own. */
const mostShare = 1e3
const example = '{bandwidth: 450e9, latency: 1e-6}'

/** The names of the kinds of links that are known. */
export function linkNames(): string[] {
  return Object.keys(records)
}

/**
 * A link by the name of a known kind, or from its fields; `link` beside other fields names a known kind that these
 * change. Throws `UNKNOWN_LINK`, `CLUSTER_KEY` and `CLUSTER_VALUE`.
 */
export function resolveLink(input: unknown, subject = 'the link'): Link {
  if (typeof input === 'string') return { ...knownLink(input) }
  const reader = readerOf(input, subject, ['link', ...fields], example)
  const base = reader.has('link') ? knownLink(reader.text('link')) : undefined
  const number = (key: 'bandwidth' | 'perPeer' | 'copyBandwidth' | 'reduceBandwidth') =>
    reader.has(key) ? reader.byteRate(key) : base?.[key]
  const optional = (key: 'perPeer' | 'copyBandwidth' | 'reduceBandwidth') => {
    const value = number(key)
    return value === undefined ? {} : { [key]: value }
  }
  const seconds = (key: 'launch' | 'fill') => (reader.has(key) ? reader.seconds(key) : (base?.[key] ?? 0))
  const reduction = reader.has('reduction') ? readReduction(reader.any('reduction'), subject) : base?.reduction
  const torus = reader.has('torus') ? reader.any('torus') === true : base?.torus
  const name = reader.has('name') ? reader.text('name') : (base?.name ?? 'link')
  return {
    name,
    kind: reader.has('kind') ? reader.text('kind') : (base?.kind ?? name),
    bandwidth: number('bandwidth') ?? reader.byteRate('bandwidth'),
    efficiency: share(
      reader.has('efficiency') ? reader.positive('efficiency', mostShare) : (base?.efficiency ?? 1),
      subject,
    ),
    latency: reader.has('latency') || !base ? reader.seconds('latency') : base.latency,
    ...optional('perPeer'),
    ...(torus ? { torus } : {}),
    ...(reduction ? { reduction } : {}),
    launch: seconds('launch'),
    fill: seconds('fill'),
    ...optional('copyBandwidth'),
    ...optional('reduceBandwidth'),
  }
}

/** The source of each value of a known kind of link, by field. Throws `UNKNOWN_LINK`. */
export function linkSources(name: string): Readonly<Record<string, string>> {
  return splitFacts(recordOf(name)).sources
}

function knownLink(name: string): Link {
  return resolveLink({ name, ...Object(splitFacts(recordOf(name)).values) }, `the link \`${name}\``)
}

function recordOf(name: string): object {
  const record = new Map<string, object>(Object.entries(records)).get(name)
  if (record) return record
  throw new ShardloomError('UNKNOWN_LINK', `There is no link \`${name}\`.`, {
    help: `Known are ${nearestFirst(name, linkNames()).join(', ')}; or write one of your own: ${example}.`,
    subject: name,
  })
}

function readReduction(value: unknown, subject: string): { efficiency: number; latency: number } {
  const reader = readerOf(value, `\`reduction\` of ${subject}`, ['efficiency', 'latency'], '{latency: 12.5e-6}')
  const efficiency = reader.has('efficiency') ? share(reader.positive('efficiency', mostShare), subject) : 1
  return { efficiency, latency: reader.seconds('latency') }
}

function share(value: number, subject: string): number {
  if (value <= 1) return value
  throw new ShardloomError('CLUSTER_VALUE', `\`efficiency\` of ${subject} is ${value}.`, {
    help: 'It is a share of the bandwidth: at most 1.',
    subject,
  })
}
