import protobuf from 'protobufjs'

/** The schema of MLCommons Chakra execution traces as published (et_def.proto), but for members of the union that nobody writes. */
const schema = `
syntax = "proto3";
package ChakraProtoMsg;
message BoolList { repeated bool values = 1; }
message AttributeProto {
  string name = 1;
  string doc_string = 2;
  oneof value {
    double double_val = 3; float float_val = 5; int32 int32_val = 7; int64 int64_val = 9; uint32 uint32_val = 11;
    uint64 uint64_val = 13; sint32 sint32_val = 15; sint64 sint64_val = 17; fixed32 fixed32_val = 19; fixed64 fixed64_val = 21;
    sfixed32 sfixed32_val = 23; sfixed64 sfixed64_val = 25; bool bool_val = 27; BoolList bool_list = 28; string string_val = 29;
    bytes bytes_val = 31;
  }
}
message GlobalMetadata { string version = 1; repeated AttributeProto attr = 2; }
enum NodeType {
  INVALID_NODE = 0; METADATA_NODE = 1; MEM_LOAD_NODE = 2; MEM_STORE_NODE = 3; COMP_NODE = 4; COMM_SEND_NODE = 5;
  COMM_RECV_NODE = 6; COMM_COLL_NODE = 7;
}
message IOInfo { string values = 1; string shapes = 2; string types = 3; }
message Node {
  uint64 id = 1; string name = 2; NodeType type = 3; repeated uint64 ctrl_deps = 4; repeated uint64 data_deps = 5;
  uint64 start_time_micros = 6; uint64 duration_micros = 7; IOInfo inputs = 8; IOInfo outputs = 9;
  repeated AttributeProto attr = 10;
}`

const root = protobuf.parse(schema, { keepCase: true }).root
const metadata = root.lookupType('ChakraProtoMsg.GlobalMetadata')
const nodeType = root.lookupType('ChakraProtoMsg.Node')
const options = { longs: String, enums: String, defaults: true, oneofs: true } as const

/** One node as a reader of traces finds it; attributes with the member of the union that holds them. */
export interface ChakraNode {
  readonly id: number
  readonly name: string
  readonly type: string
  readonly control: readonly number[]
  readonly data: readonly number[]
  readonly micros: number
  readonly attributes: ReadonlyMap<string, { readonly member: string; readonly value: string | boolean | number }>
}

/** Reads an `.et` file: messages with their lengths before them, the first of which is the metadata. */
export function readTrace(parts: Iterable<Uint8Array>): { readonly version: string; readonly nodes: ChakraNode[] } {
  const reader = protobuf.Reader.create(Buffer.concat([...parts]))
  const first = metadata.toObject(metadata.decodeDelimited(reader), options)
  const nodes: ChakraNode[] = []
  while (reader.pos < reader.len) {
    const each = nodeType.toObject(nodeType.decodeDelimited(reader), { ...options, arrays: true })
    nodes.push({
      id: Number(each['id']),
      name: each['name'],
      type: each['type'],
      control: each['ctrl_deps'].map(Number),
      data: each['data_deps'].map(Number),
      micros: Number(each['duration_micros']),
      attributes: new Map(
        each['attr'].map((attr: Record<string, string>) => [
          attr['name'],
          { member: attr['value'], value: attr[attr['value'] ?? ''] },
        ]),
      ),
    })
  }
  return { version: first['version'], nodes }
}

/** The number that an attribute holds. */
export function numberOf({ attributes, name }: ChakraNode, attribute: string): number {
  const found = attributes.get(attribute)
  if (!found) throw new Error(`${name} has no ${attribute}`)
  return Number(found.value)
}
