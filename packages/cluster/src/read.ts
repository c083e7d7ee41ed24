import { nearest, ShardloomError } from '@shardloom/core'
import { parseQuantity, type Quantity, quantityLike } from './quantity.js'

/** More than any device: a million of today's fastest do 1e21 FLOP/s, and hold 1e17 bytes. */
const mostRate = 1e21
const mostBytes = 1e18
const mostWhole = 2 ** 31

/** Reads fields of what a user wrote, with an error for people where one is missing, unknown or no such value. */
export interface Reader {
  readonly has: (key: string) => boolean
  readonly any: (key: string) => unknown
  readonly text: (key: string) => string
  /** Above zero: a number, or a text with a decimal or binary unit, such as `141 GB` or `80 GiB`. */
  readonly bytes: (key: string) => number
  /** B/s above zero: a number, or a text in bytes or bits, such as `3.35 TB/s` or `400 Gb/s`. */
  readonly byteRate: (key: string) => number
  /** Operations per second above zero: a number, or a text such as `989 TFLOP/s`. */
  readonly operationRate: (key: string) => number
  /** Seconds, not below zero: a number, or a text such as `2 us`. */
  readonly seconds: (key: string) => number
  /** Above zero; no more than `most`. */
  readonly positive: (key: string, most: number) => number
  /** A whole number from one to as many as a spec may name of anything. */
  readonly whole: (key: string) => number
}

/** A reader of `value`, an object called `subject` in errors. Throws `CLUSTER_KEY` for keys that are not in `known`. */
export function readerOf(value: unknown, subject: string, known: readonly string[], example: string): Reader {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ShardloomError('CLUSTER_VALUE', `${subject} is ${show(value)}, not an object.`, {
      help: `Write it like ${example}.`,
      subject,
    })
  }
  const fields = new Map<string, unknown>(Object.entries(value))
  for (const key of fields.keys()) {
    if (known.includes(key)) continue
    const near = nearest(key, known)
    throw new ShardloomError('CLUSTER_KEY', `${subject} has no field \`${key}\`.`, {
      help: near ? `Did you mean \`${near}\`?` : `Its fields are ${known.join(', ')}.`,
      subject,
    })
  }
  const any = (key: string) => {
    const found = fields.get(key)
    if (found !== undefined && found !== null) return found
    throw new ShardloomError('CLUSTER_VALUE', `${subject} has no \`${key}\`.`, {
      help: `Write it like ${example}.`,
      subject,
    })
  }
  const number = (key: string, what: string, accepts: (value: number) => boolean) => {
    const found = any(key)
    if (typeof found === 'number' && Number.isFinite(found) && accepts(found)) return found
    throw new ShardloomError('CLUSTER_VALUE', `\`${key}\` of ${subject} is ${show(found)}.`, {
      help: `Give it ${what}.`,
      subject,
    })
  }
  const quantity = (key: string, kind: Quantity, { what, accepts }: Range) => {
    const found = any(key)
    const read = typeof found === 'string' ? parseQuantity(found, kind) : undefined
    if (read !== undefined && accepts(read)) return read
    return number(key, `${what}, or a text such as ${quantityLike(kind)}`, accepts)
  }
  return {
    has: (key) => fields.get(key) !== undefined && fields.get(key) !== null,
    any,
    text: (key) => {
      const found = any(key)
      if (typeof found === 'string' && found !== '') return found
      throw new ShardloomError('CLUSTER_VALUE', `\`${key}\` of ${subject} is ${show(found)}.`, {
        help: 'Give it a name.',
        subject,
      })
    },
    bytes: (key) => quantity(key, 'bytes', aboveZero(mostBytes)),
    byteRate: (key) => quantity(key, 'byteRate', aboveZero(mostRate)),
    operationRate: (key) => quantity(key, 'operationRate', aboveZero(mostRate)),
    seconds: (key) => quantity(key, 'seconds', { what: 'a number of at least 0', accepts: (value) => value >= 0 }),
    positive: (key, most) => {
      const { what, accepts } = aboveZero(most)
      return number(key, what, accepts)
    },
    whole: (key) =>
      number(
        key,
        `a whole number of at least 1, up to ${mostWhole}`,
        (value) => Number.isInteger(value) && value >= 1 && value <= mostWhole,
      ),
  }
}

interface Range {
  /** What fits, in words that follow "Give it". */
  readonly what: string
  readonly accepts: (value: number) => boolean
}

function aboveZero(most: number): Range {
  return { what: `a number above 0, of at most ${most}`, accepts: (value) => value > 0 && value <= most }
}

/** What a value looks like, short. */
export function show(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : Array.isArray(value) ? 'a list' : String(value)
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}

/** `known`, the name nearest to `name` first. */
export function nearestFirst(name: string, known: readonly string[]): string[] {
  const near = nearest(name, known) ?? known.find((each) => each.startsWith(name.toLowerCase()))
  return near === undefined ? [...known] : [near, ...known.filter((each) => each !== near)]
}
