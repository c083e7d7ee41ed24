import { nearest, ShardloomError } from '@shardloom/core'

/** The largest size of a dim that a config may ask for. */
const LARGEST_SIZE = 2 ** 31

/** A field's name, or several names that the same field goes by, the usual one first. */
export type FieldName = string | readonly [string, ...string[]]

/**
 * Reads the fields of one object of a config, each checked. Only the object's own properties are looked at, and a field
 * that is null counts as left out, as it does for Hugging Face. Every reading method throws `MISSING_FIELD` for a field
 * that is left out without a fallback and `INVALID_FIELD` for a value of the wrong kind.
 */
export class ConfigFields {
  constructor(
    readonly object: object,
    /** Where the object stands in the config, such as `text_config.`; empty for the config itself. */
    readonly prefix = '',
    /** Every name that was asked for so far, with that of its object before it, such as `text_config.hidden_size`. */
    readonly asked: Set<string> = new Set(),
  ) {}

  /** The own value of the first of the names that is present and not null. */
  value(name: FieldName): { readonly name: string; readonly value: unknown } | undefined {
    const candidates = typeof name === 'string' ? [name] : name
    for (const candidate of candidates) this.asked.add(this.prefix + candidate)
    for (const candidate of candidates) {
      const value = Object.getOwnPropertyDescriptor(this.object, candidate)?.value
      if (value !== undefined && value !== null) return { name: candidate, value }
    }
    return undefined
  }

  has(name: FieldName): boolean {
    return this.value(name) !== undefined
  }

  /** A whole number between 1 and `most`. */
  size(name: FieldName, fallback?: number, most = LARGEST_SIZE): number {
    const found = this.value(name)
    if (found !== undefined) return this.wholeNumber(found.name, found.value, 1, most)
    return fallback ?? this.missing(name, 'a positive whole number')
  }

  /** A size that may be left out. */
  optionalSize(name: FieldName): number | undefined {
    return this.has(name) ? this.size(name) : undefined
  }

  /** A whole number that may be zero. */
  count(name: FieldName, fallback?: number): number {
    const found = this.value(name)
    if (found !== undefined) return this.wholeNumber(found.name, found.value, 0, LARGEST_SIZE)
    return fallback ?? this.missing(name, 'a whole number')
  }

  /** A number above zero. */
  factor(name: FieldName, fallback: number): number {
    const found = this.value(name)
    if (found === undefined) return fallback
    const { value } = found
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value
    return this.invalid(found.name, value, 'a number above 0')
  }

  /** A share of elements: at least 0 and less than 1. */
  share(name: FieldName, fallback: number): number {
    const found = this.value(name)
    if (found === undefined) return fallback
    const { value } = found
    if (typeof value === 'number' && value >= 0 && value < 1) return value
    return this.invalid(found.name, value, 'a share of at least 0 and less than 1')
  }

  flag(name: FieldName, fallback: boolean): boolean {
    const found = this.value(name)
    if (found === undefined) return fallback
    if (typeof found.value !== 'boolean') this.invalid(found.name, found.value, 'true or false')
    return found.value === true
  }

  word(name: FieldName, fallback?: string): string {
    const found = this.value(name)
    if (found === undefined) return fallback ?? this.missing(name, 'a string')
    return typeof found.value === 'string' ? found.value : this.invalid(found.name, found.value, 'a string')
  }

  list(name: FieldName): readonly unknown[] | undefined {
    const found = this.value(name)
    if (found === undefined) return undefined
    return Array.isArray(found.value) ? found.value : this.invalid(found.name, found.value, 'a list')
  }

  /** A list with one entry per layer; throws `CONTRADICTORY_FIELDS` when its length is another. */
  listPerLayer(name: string, layers: number): readonly unknown[] | undefined {
    const list = this.list(name)
    if (list !== undefined && list.length !== layers) {
      this.contradiction(
        name,
        `has ${list.length} entries, but the model has ${layers} layers`,
        `Give ${this.prefix}${name} one entry per layer, or leave it out.`,
      )
    }
    return list
  }

  /** A list of whole numbers, such as layer indices, as a set. */
  indices(name: string): ReadonlySet<number> | undefined {
    const list = this.list(name)
    return list && new Set(list.map((entry, index) => this.wholeNumber(`${name}[${index}]`, entry, 0, LARGEST_SIZE)))
  }

  /** A nested object, or undefined when it is left out. */
  nested(name: string): ConfigFields | undefined {
    const found = this.value(name)
    if (found === undefined) return undefined
    if (typeof found.value !== 'object' || found.value === null || Array.isArray(found.value)) {
      return this.invalid(name, found.value, 'an object')
    }
    return new ConfigFields(found.value, `${this.prefix}${name}.`, this.asked)
  }

  /**
   * Keys that were not asked for and are nearly one that was, but is absent: `num_kv_heads` where the family has
   * `num_key_value_heads`. To be called when all is read.
   */
  misspellings(): Misspelling[] {
    const objects = new Map<string, object>([['', this.object]])
    for (const [name, value] of Object.entries(this.object))
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) objects.set(`${name}.`, value)
    return [...objects].flatMap(([prefix, object]) => {
      const own = [...this.asked].filter((name) => name.slice(0, name.lastIndexOf('.') + 1) === prefix)
      const absent = own.map((name) => name.slice(prefix.length)).filter((name) => !Object.hasOwn(object, name))
      const unread = Object.keys(object).filter((key) => own.length > 0 && !this.asked.has(prefix + key))
      return unread.flatMap((key) => {
        const meant = absent.find((name) => isMisspelt(key, name))
        return meant !== undefined ? [{ key: prefix + key, meant: prefix + meant }] : []
      })
    })
  }

  missing(name: FieldName, expected: string): never {
    const [usual, ...others] = typeof name === 'string' ? [name] : name
    const also = others.length === 0 ? '' : ` (or ${others.join(', ')})`
    throw new ShardloomError('MISSING_FIELD', `The config has no ${this.prefix}${usual}${also}.`, {
      subject: `${this.prefix}${usual}`,
      help: `Add ${this.prefix}${usual}: ${expected}.`,
    })
  }

  invalid(name: string, value: unknown, expected: string): never {
    throw new ShardloomError('INVALID_FIELD', `${this.prefix}${name} is ${describe(value)}, not ${expected}.`, {
      subject: `${this.prefix}${name}`,
      help: `Set ${this.prefix}${name} to ${expected}.`,
    })
  }

  contradiction(name: string, problem: string, help: string): never {
    const subject = `${this.prefix}${name}`
    throw new ShardloomError('CONTRADICTORY_FIELDS', `${subject} ${problem}.`, { subject, help })
  }

  /** For a field that changes the weights in a way that no architecture can say yet. */
  unsupported(name: string, value: unknown, supported: string): never {
    const subject = `${this.prefix}${name}`
    throw new ShardloomError('UNSUPPORTED_FIELD', `${subject}: ${describe(value)} is not supported.`, {
      subject,
      help: `Only ${supported} can be read for this family.`,
    })
  }

  private wholeNumber(name: string, value: unknown, least: number, most: number): number {
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    const hint = typeof value === 'string' ? ' written without quotes' : ''
    return this.invalid(name, value, `a whole number from ${least} to ${most}${hint}`)
  }
}

/** A key that a config has, and the one that was probably meant. */
export interface Misspelling {
  readonly key: string
  readonly meant: string
}

/** Words that configs shorten. */
const short: Readonly<Record<string, string>> = { kv: 'key_value', num: 'n', layers: 'layer', heads: 'head' }

/**
 * Configs have many keys that nothing here reads, so that being near is not enough: letters may differ in one word, or
 * words be shortened. Words that only one of them has, as in `moe_intermediate_size`, make another key.
 */
function isMisspelt(key: string, meant: string): boolean {
  const words = (text: string) => text.toLowerCase().split('_')
  const long = (text: string) =>
    words(text)
      .map((word) => short[word] ?? word)
      .join('_')
  if (long(key) === long(meant)) return true
  const [given, wanted] = [words(key), words(meant)]
  const unlike = given.flatMap((word, at) => (word === wanted[at] ? [] : [[word, wanted[at] ?? ''] as const]))
  const [[word, other] = ['', '']] = unlike
  return (
    given.length === wanted.length && unlike.length === 1 && word.length > 3 && nearest(word, [other]) !== undefined
  )
}

/** A short form of a value that came from outside, for messages. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  return typeof value === 'function' || typeof value === 'symbol' ? `a ${typeof value}` : String(value)
}
