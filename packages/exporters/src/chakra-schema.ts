import protobuf from 'protobufjs/light.js'

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

/** What of the schema of execution traces is written here: proto3, package `ChakraProtoMsg` (MLCommons Chakra, et_def.proto). */
const root = protobuf.Root.fromJSON({
  nested: {
    ChakraProtoMsg: {
      nested: {
        GlobalMetadata: { fields: { version: { type: 'string', id: 1 } } },
        AttributeProto: {
          oneofs: { value: { oneof: ['int32_val', 'int64_val', 'uint64_val', 'bool_val', 'string_val'] } },
          fields: {
            name: { type: 'string', id: 1 },
            int32_val: { type: 'int32', id: 7 },
            int64_val: { type: 'int64', id: 9 },
            uint64_val: { type: 'uint64', id: 13 },
            bool_val: { type: 'bool', id: 27 },
            string_val: { type: 'string', id: 29 },
          },
        },
        Node: {
          fields: {
            id: { type: 'uint64', id: 1 },
            name: { type: 'string', id: 2 },
            type: { type: 'int32', id: 3 },
            ctrl_deps: { rule: 'repeated', type: 'uint64', id: 4 },
            data_deps: { rule: 'repeated', type: 'uint64', id: 5 },
            duration_micros: { type: 'uint64', id: 7 },
            attr: { rule: 'repeated', type: 'AttributeProto', id: 10 },
          },
        },
      },
    },
  },
})

const metadataType = root.lookupType('ChakraProtoMsg.GlobalMetadata')
const nodeType = root.lookupType('ChakraProtoMsg.Node')

/** A whole number of up to 64 bits as protobuf takes it. */
const long = (value: bigint) => ({
  low: Number(BigInt.asIntN(32, value)),
  high: Number(BigInt.asIntN(32, value >> 32n)),
})

/** One attribute: readers look for one member of the union only, so that each name has its type (see {@link attribute}). */
export type Attribute = Readonly<Record<string, unknown>>

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
  return metadataType.encode({ version: '1.0.0' }).finish()
}

/** What of a node is the same in every execution and on every rank. Parts of a message may stand in any order. */
export function encodeKind(type: number, attributes: readonly Attribute[], micros?: number): Uint8Array {
  return nodeType.encode({ type, attr: attributes, ...(micros !== undefined && { duration_micros: micros }) }).finish()
}

/** What of a node is its own. */
export function encodeExecution(
  id: number,
  name: string,
  after: readonly number[],
  from: readonly number[],
): Uint8Array {
  return nodeType.encode({ id, name, ctrl_deps: after, data_deps: from }).finish()
}

/** The length of a message, as it stands before it. */
export function encodeLength(length: number): Uint8Array {
  return new protobuf.Writer().uint32(length).finish()
}
