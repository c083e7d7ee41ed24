import protobuf from 'protobufjs/minimal.js'

/** The kinds of node of MLCommons Chakra. */
export const chakraTypes = {
  memoryLoad: 2,
  memoryStore: 3,
  compute: 4,
  send: 5,
  receive: 6,
  collective: 7,
} as const

/** The collectives of MLCommons Chakra, by the names that communication nodes have here. */
export const chakraCollectives: Readonly<Record<string, number>> = {
  'all-reduce': 0,
  'all-gather': 2,
  'all-to-all': 6,
  'reduce-scatter': 7,
}

/**
 * What of the schema of execution traces is written here: proto3, package `ChakraProtoMsg` (MLCommons Chakra, et_def.proto). Written
 * field by field: the library's own encoders are compiled at run time, which strict pages forbid.
 */
const nodeFields = { id: 1, name: 2, type: 3, ctrl_deps: 4, data_deps: 5, duration_micros: 7, attr: 10 } as const
const attributeFields = { name: 1, int32_val: 7, int64_val: 9, uint64_val: 13, bool_val: 27, string_val: 29 } as const
const metadataFields = { version: 1 } as const

/** What stands before the value of a field: its number, and whether a number of varying length or a length follows. */
const number = (field: number) => field << 3
const bytes = (field: number) => (field << 3) | 2

/** The two halves of a whole number of up to 64 bits, as protobuf takes it. */
interface Whole {
  readonly low: number
  readonly high: number
  readonly unsigned: boolean
}

/** A whole number of up to 64 bits as protobuf takes it. */
const long = (value: bigint): Whole => ({
  unsigned: false,
  low: Number(BigInt.asIntN(32, value)),
  high: Number(BigInt.asIntN(32, value >> 32n)),
})

/** The value of an attribute under the name of its type. */
type AttributeValue =
  | { readonly int32_val: number }
  | { readonly int64_val: number | Whole }
  | { readonly uint64_val: Whole }
  | { readonly bool_val: boolean }
  | { readonly string_val: string }

/** One attribute: readers look for one member of the union only, so that each name has its type (see {@link attribute}). */
export type Attribute = { readonly name: string } & AttributeValue

/** Attributes in the types that both readers of Chakra traces, the feeders of MLCommons and of ASTRA-sim, look for. */
export const attribute = {
  onHost: (value: boolean): Attribute => ({ name: 'is_cpu_op', bool_val: value }),
  flops: (value: bigint): Attribute => ({ name: 'num_ops', int64_val: long(value) }),
  bytesMoved: (value: bigint): Attribute => ({ name: 'tensor_size', uint64_val: long(value) }),
  collective: (value: number): Attribute => ({ name: 'comm_type', int64_val: value }),
  bytesSent: (value: bigint): Attribute => ({ name: 'comm_size', int64_val: long(value) }),
  source: (rank: number): Attribute => ({ name: 'comm_src', int32_val: rank }),
  destination: (rank: number): Attribute => ({ name: 'comm_dst', int32_val: rank }),
  tag: (value: number): Attribute => ({ name: 'comm_tag', int32_val: value }),
  group: (id: number): Attribute => ({ name: 'pg_name', string_val: String(id) }),
}

/** The message with which a trace begins, without its length: an empty one would be read as the end of the file. */
export function encodeMetadata(): Uint8Array {
  return new protobuf.Writer().uint32(bytes(metadataFields.version)).string('1.0.0').finish()
}

/** What of a node is the same in every execution and on every rank. Parts of a message may stand in any order. */
export function encodeKind(type: number, attributes: readonly Attribute[], micros?: number): Uint8Array {
  const writer = new protobuf.Writer().uint32(number(nodeFields.type)).int32(type)
  if (micros !== undefined) writer.uint32(number(nodeFields.duration_micros)).uint64(micros)
  for (const each of attributes) writeAttribute(writer, each)
  return writer.finish()
}

function writeAttribute(writer: protobuf.Writer, attribute: Attribute): void {
  const { int32_val, int64_val, uint64_val, bool_val, string_val } = attributeFields
  writer.uint32(bytes(nodeFields.attr)).fork().uint32(bytes(attributeFields.name)).string(attribute.name)
  if ('int32_val' in attribute) writer.uint32(number(int32_val)).int32(attribute.int32_val)
  else if ('int64_val' in attribute) writer.uint32(number(int64_val)).int64(attribute.int64_val)
  else if ('uint64_val' in attribute) writer.uint32(number(uint64_val)).uint64(attribute.uint64_val)
  else if ('bool_val' in attribute) writer.uint32(number(bool_val)).bool(attribute.bool_val)
  else writer.uint32(bytes(string_val)).string(attribute.string_val)
  writer.ldelim()
}

/** What of a node is its own. */
export function encodeExecution(
  id: number,
  name: string,
  after: readonly number[],
  from: readonly number[],
): Uint8Array {
  const writer = new protobuf.Writer().uint32(number(nodeFields.id)).uint64(id)
  writer.uint32(bytes(nodeFields.name)).string(name)
  const dependencies = [
    [nodeFields.ctrl_deps, after],
    [nodeFields.data_deps, from],
  ] as const
  for (const [field, ids] of dependencies) {
    if (ids.length === 0) continue
    writer.uint32(bytes(field)).fork()
    for (const each of ids) writer.uint64(each)
    writer.ldelim()
  }
  return writer.finish()
}

/** The length of a message, as it stands before it. */
export function encodeLength(length: number): Uint8Array {
  return new protobuf.Writer().uint32(length).finish()
}
