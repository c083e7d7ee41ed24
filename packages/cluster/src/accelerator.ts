import { ShardloomError } from '@shardloom/core'
import { amd } from './data/amd.js'
import { google } from './data/google.js'
import { huawei } from './data/huawei.js'
import { intel } from './data/intel.js'
import { nvidia } from './data/nvidia.js'
import { type AcceleratorRecord, type Dtype, dtypes } from './data/record.js'
import { splitFacts } from './facts.js'
import { type Link, resolveLink } from './link.js'
import { nearestFirst, readerOf } from './read.js'

/** One device of a cluster: a rank runs on it. Rates are dense (no structured sparsity), bandwidths of one direction. */
export interface Accelerator {
  /** The name in a spec, such as `h100-sxm`. */
  readonly name: string
  /** The name in the shop. */
  readonly title: string
  readonly vendor: string
  /** FLOP/s (integer types: operations per second) of matrix units, by type; a type that is missing is not supported. */
  readonly peak: { readonly [dtype in Dtype]?: number }
  /** FLOP/s in half precision outside of matrix units. */
  readonly vectorPeak?: number
  /** Exponentials per second of its special-function units. */
  readonly exponentialPeak?: number
  readonly memoryBytes: number
  /** B/s. */
  readonly memoryBandwidth: number
  /** Bytes of the last cache before memory, or of on-chip memory in its place. */
  readonly cacheBytes?: number
  /** Units that take tiles of work: streaming multiprocessors, compute units, cube cores. */
  readonly cores?: number
  /** Watts at most. */
  readonly powerWatts?: number
  /** Devices in one node (host). */
  readonly perNode: number
  /** What joins the devices of a node, and nodes. */
  readonly scaleUp?: Link
  readonly scaleOut?: Link
  /** How many devices share one network card. */
  readonly nicSharedBy: number
  /** B/s to the host's memory. */
  readonly hostBandwidth?: number
  /** The known one that it was made from, and the fields of which it has other values, none where it is but called otherwise. */
  readonly changed?: { readonly from: string; readonly fields: readonly string[] }
  /** The source of each value, by field: a key of `sources`, with a note behind a colon. Empty for your own. */
  readonly sources: Readonly<Record<string, string>>
}

const records: ReadonlyMap<string, AcceleratorRecord> = new Map(
  Object.entries({ ...nvidia, ...amd, ...google, ...huawei, ...intel }),
)
/** Watts that a device may draw at most: a rack of them draws less. */
const mostWatts = 1e6

/** How each optional field is read. */
const optionalFields = {
  vectorPeak: 'operationRate',
  exponentialPeak: 'operationRate',
  memoryBandwidth: 'byteRate',
  cacheBytes: 'bytes',
  powerWatts: 'watts',
  hostBandwidth: 'byteRate',
} as const
const fields = [
  'accelerator',
  'name',
  'vendor',
  'peak',
  'memoryBytes',
  'cores',
  'perNode',
  'scaleUp',
  'scaleOut',
  'nicSharedBy',
  ...Object.keys(optionalFields),
]
const example =
  '{name: my-chip, peak: {bf16: 400e12}, memoryBytes: 64e9, memoryBandwidth: 2e12, scaleUp: {bandwidth: 200e9, latency: 2e-6}}'

/** The names of the accelerators that are known. */
export function acceleratorNames(): string[] {
  return [...records.keys()]
}

/**
 * An accelerator by its name, or from its fields; `accelerator` beside other fields names a known one that these change.
 * Throws `UNKNOWN_ACCELERATOR` with the known names and an example of how to write one, `CLUSTER_KEY`, `CLUSTER_VALUE`
 * and `UNKNOWN_LINK`.
 */
export function resolveAccelerator(input: unknown): Accelerator {
  if (typeof input === 'string') return knownAccelerator(input)
  const subject = 'the accelerator'
  const reader = readerOf(input, subject, fields, example)
  const base = reader.has('accelerator') ? knownAccelerator(reader.text('accelerator')) : undefined
  return readAccelerator(input, base, {})
}

function knownAccelerator(name: string): Accelerator {
  const record = records.get(name)
  if (!record) {
    const known = nearestFirst(name, acceleratorNames()).join(', ')
    throw new ShardloomError('UNKNOWN_ACCELERATOR', `There is no accelerator \`${name}\`.`, {
      help: `Known are ${known}; or write one of your own: ${example}.`,
      subject: name,
    })
  }
  const { values, sources } = splitFacts(record)
  const { name: title, ...rest } = Object(values)
  return { ...readAccelerator({ ...rest, name }, undefined, sources), title }
}

function readAccelerator(
  input: unknown,
  base: Accelerator | undefined,
  sources: Readonly<Record<string, string>>,
): Accelerator {
  const reader = readerOf(input, 'the accelerator', fields, example)
  const name = reader.has('name') || !base ? reader.text('name') : base.name
  if (!base && !reader.has('peak') && records.has(name))
    throw new ShardloomError(
      'CLUSTER_VALUE',
      `The accelerator \`${name}\` is known, but named as one of your own it has no \`peak\`.`,
      {
        help: `To change some of the known one, write \`accelerator\` in place of \`name\`: {accelerator: ${name}, memoryBytes: 141e9}.`,
        subject: name,
      },
    )
  const link = (key: 'scaleUp' | 'scaleOut', otherwise: Link | undefined) => {
    if (reader.has(key)) return resolveLink(reader.any(key), `\`${key}\` of \`${name}\``)
    return otherwise
  }
  const scaleUp = link('scaleUp', base?.scaleUp)
  // One kind of link may be all that there is.
  const scaleOut = link('scaleOut', base?.scaleOut ?? scaleUp)
  const optional = Object.entries(optionalFields).flatMap(([key, kind]) => {
    if (!reader.has(key)) return []
    return [[key, kind === 'watts' ? reader.positive(key, mostWatts) : reader[kind](key)] as const]
  })
  const cores = reader.has('cores') ? reader.whole('cores') : base?.cores
  const changed = (key: string) => reader.has(key.split('.')[0] ?? key)
  const made: Accelerator = {
    name,
    title: name,
    vendor: reader.has('vendor') ? reader.text('vendor') : (base?.vendor ?? ''),
    peak: reader.has('peak') || !base ? readPeak(reader.any('peak'), name) : base.peak,
    memoryBytes: reader.has('memoryBytes') || !base ? reader.bytes('memoryBytes') : base.memoryBytes,
    memoryBandwidth: base?.memoryBandwidth ?? reader.byteRate('memoryBandwidth'),
    ...inherited(base),
    ...Object.fromEntries(optional),
    ...(cores === undefined ? {} : { cores }),
    perNode: reader.has('perNode') ? reader.whole('perNode') : (base?.perNode ?? 8),
    ...(scaleUp && { scaleUp }),
    ...(scaleOut && { scaleOut }),
    nicSharedBy: reader.has('nicSharedBy') ? reader.whole('nicSharedBy') : (base?.nicSharedBy ?? 1),
    sources: base ? Object.fromEntries(Object.entries(base.sources).filter(([key]) => !changed(key))) : sources,
  }
  const differing = base === undefined ? [] : differingFields(made, base)
  const isOther = base && (name !== base.name || differing.length > 0)
  return isOther ? { ...made, changed: { from: base.name, fields: differing } } : made
}

/** The optional fields that a known accelerator has. */
function inherited(base: Accelerator | undefined): Partial<Accelerator> {
  const known = Object.entries(base ?? {}).filter(([key]) => Object.hasOwn(optionalFields, key))
  return Object.fromEntries(known)
}

/** The fields of which two accelerators have different values, beside their names. */
function differingFields(made: Accelerator, base: Accelerator): string[] {
  const values = new Map<string, unknown>(Object.entries(base))
  return Object.entries(made).flatMap(([key, value]) => {
    const isName = ['name', 'title', 'vendor', 'sources'].includes(key)
    return isName || JSON.stringify(value) === JSON.stringify(values.get(key)) ? [] : [key]
  })
}

function readPeak(value: unknown, name: string): Accelerator['peak'] {
  const subject = `\`peak\` of \`${name}\``
  const example = '{bf16: 400e12, fp8: 800e12}'
  const reader = readerOf(value, subject, dtypes, example)
  if (!dtypes.some(reader.has))
    throw new ShardloomError('CLUSTER_VALUE', `${subject} has no type.`, {
      help: `Give the FLOP/s of each type that matrices are multiplied in, such as ${example}.`,
      subject: 'peak',
    })
  return Object.fromEntries(dtypes.filter(reader.has).map((dtype) => [dtype, reader.operationRate(dtype)]))
}
