import { type DataType, dataTypes, type Json } from '@shardloom/core'
import onnxProto, { type onnx } from 'onnx-proto'
import protobuf from 'protobufjs/minimal.js'
import { elementBytes } from './onnx-elements.js'

/** The versions that are written: the intermediate representation, and the operator sets by domain. */
export const irVersion = 8
export const ownDomain = 'shardloom'
const operatorSets = [
  { domain: '', version: int64(17) },
  { domain: ownDomain, version: int64(1) },
]

/** Element types by the numbers of TensorProto.DataType; 8-bit floats came with a later version. */
const elementTypes: Readonly<Record<DataType, number | undefined>> = {
  fp32: 1,
  int8: 3,
  int32: 6,
  int64: 7,
  fp16: 10,
  fp64: 11,
  bf16: 16,
  fp8: undefined,
}

/** The number of an element type; undefined where this version has none. */
export const elementType = (dtype: DataType): number | undefined => elementTypes[dtype]

/**
 * A whole number of up to 64 bits as protobuf writes it. The library takes a bigint for zero without a word, so that no number
 * reaches it but through here.
 */
export function int64(value: number | bigint): { low: number; high: number; unsigned: false } {
  const whole = BigInt(value) // throws for a fraction
  if (BigInt.asIntN(64, whole) !== whole) throw new RangeError(`${value} does not fit 64 bits`)
  return { low: Number(BigInt.asIntN(32, whole)), high: Number(BigInt.asIntN(32, whole >> 32n)), unsigned: false }
}

/** A text that protobuf can hold: no half of a pair of code units, no control characters. */
export function plainText(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}]/gu, '\ufffd')
}

/** A dim of a shape: its size, or a name that stands for any. */
export type Extent = number | string

/** The type and shape of a value. */
export interface ValueType {
  readonly dtype: DataType
  readonly shape: readonly Extent[]
}

/** An attribute: a value, or the name of an attribute of the function around the node, which is a whole number. */
export type AttributeValue = Json | bigint | { readonly reference: string }

/** A node, with names as they are; see {@link encodeNode}. */
export interface NodeRecord {
  readonly op: string
  readonly domain?: string
  readonly name?: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, AttributeValue | undefined>>
  /** A constant. */
  readonly tensor?: { readonly values: readonly number[]; readonly shape: readonly number[]; readonly dtype: DataType }
  readonly description?: string
}

/** Everything that runs JavaScript has it; its type belongs to browsers and Node. */
const { TextEncoder } = globalThis as unknown as { TextEncoder: new () => { encode(text: string): Uint8Array } }

const bytesOf = (text: string) => new TextEncoder().encode(plainText(text))

function attributeOf(name: string, value: AttributeValue): onnx.IAttributeProto {
  if (typeof value === 'bigint' || typeof value === 'boolean') return { name, type: 2, i: int64(BigInt(value)) as Long }
  if (typeof value === 'number')
    return Number.isInteger(value) ? { name, type: 2, i: int64(value) as Long } : { name, type: 1, f: value }
  if (typeof value === 'string') return { name, type: 3, s: bytesOf(value) }
  if (value && typeof value === 'object' && 'reference' in value)
    return { name, type: 2, refAttrName: String(value['reference']) }
  if (Array.isArray(value) && value.length > 0) {
    if (value.every((each) => Number.isInteger(each)))
      return { name, type: 7, ints: value.map((each) => int64(each) as Long) }
    if (value.every((each) => typeof each === 'number')) return { name, type: 6, floats: value }
    if (value.every((each) => typeof each === 'string')) return { name, type: 8, strings: value.map(bytesOf) }
  }
  return { name, type: 3, s: bytesOf(JSON.stringify(value)) }
}

function nodeOf({ op, domain = '', name, inputs, outputs, attributes = {}, tensor, description }: NodeRecord) {
  const attribute = Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [attributeOf(key, value)],
  )
  if (tensor) {
    const { values, shape, dtype } = tensor
    const t = { ...tensorHead(shape, dtype), rawData: elementBytes(values, dtype) }
    attribute.push({ name: 'value', type: 4, t })
  }
  const node: onnx.INodeProto = {
    opType: op,
    input: inputs.map(plainText),
    output: outputs.map(plainText),
    ...(domain && { domain }),
    ...(name && { name: plainText(name) }),
    ...(attribute.length > 0 && { attribute }),
    ...(description && { docString: plainText(description) }),
  }
  return node
}

function tensorHead(shape: readonly number[], dtype: DataType, name?: string): onnx.ITensorProto {
  return {
    dims: shape.map((size) => int64(size) as Long),
    dataType: elementTypes[dtype] ?? 0,
    ...(name !== undefined && { name: plainText(name) }),
  }
}

function valueInfo(name: string, { dtype, shape }: ValueType): onnx.IValueInfoProto {
  const dim = shape.map((each) =>
    typeof each === 'number' ? { dimValue: int64(each) as Long } : { dimParam: plainText(each) },
  )
  return { name: plainText(name), type: { tensorType: { elemType: elementTypes[dtype] ?? 0, shape: { dim } } } }
}

/** A function of the model: a body that is written once and called by name. */
export interface FunctionRecord {
  readonly name: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: readonly string[]
  readonly nodes: readonly NodeRecord[]
  readonly description?: string
}

/** Bytes of a part of a file, made when they are written. */
export interface Part {
  readonly length: number
  readonly bytes: () => Uint8Array
}

const ready = (bytes: Uint8Array): Part => ({ length: bytes.length, bytes: () => bytes })

/** A field with its key and its length before it: messages joined are a message. */
function field(number: number, parts: readonly Part[]): Part[] {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  return [
    ready(
      new protobuf.Writer()
        .uint32((number << 3) | 2)
        .uint32(length)
        .finish(),
    ),
    ...parts,
  ]
}

const graphOf = (graph: onnx.IGraphProto) => ready(onnxProto.onnx.GraphProto.encode(graph).finish())

/** The parts of a graph, in the order in which they are written. */
export const graphPart = {
  node: (node: NodeRecord): Part => graphOf({ node: [nodeOf(node)] }),
  input: (name: string, type: ValueType): Part => graphOf({ input: [valueInfo(name, type)] }),
  output: (name: string, type: ValueType): Part => graphOf({ output: [valueInfo(name, type)] }),
  value: (name: string, type: ValueType): Part => graphOf({ valueInfo: [valueInfo(name, type)] }),
  head: (name: string, description: string): Part =>
    graphOf({ name: plainText(name), docString: plainText(description) }),
  /** A tensor whose elements are made when it is written. */
  weight(name: string, shape: readonly number[], dtype: DataType, values: () => ArrayLike<number>): Part[] {
    const size = shape.reduce((product, each) => product * each, 1)
    const head = ready(onnxProto.onnx.TensorProto.encode(tensorHead(shape, dtype, name)).finish())
    const data: Part = { length: size * dataTypes[dtype], bytes: () => elementBytes(values(), dtype) }
    return field(5, [head, ...field(9, [data])])
  },
}

/** The parts of a model: what stands before its graph, its functions, and the graph. */
export function modelParts(
  functions: readonly FunctionRecord[],
  graph: readonly Part[],
  metadata: Readonly<Record<string, string>>,
  description: string,
): Part[] {
  const encode = (model: onnx.IModelProto) => ready(onnxProto.onnx.ModelProto.encode(model).finish())
  return [
    encode({
      irVersion: int64(irVersion) as Long,
      producerName: 'shardloom',
      domain: ownDomain,
      docString: plainText(description),
      opsetImport: operatorSets.map(({ domain, version }) => ({ domain, version: version as Long })),
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value: plainText(value) })),
    }),
    ...functions.map(({ name, inputs, outputs, attributes, nodes, description }) =>
      encode({
        functions: [
          {
            name,
            domain: ownDomain,
            input: inputs.map(plainText),
            output: outputs.map(plainText),
            attribute: [...attributes],
            node: nodes.map(nodeOf),
            opsetImport: operatorSets.map(({ domain, version }) => ({ domain, version: version as Long })),
            ...(description && { docString: plainText(description) }),
          },
        ],
      }),
    ),
    ...field(7, graph),
  ]
}

/** A 64-bit number as the declarations of the library name it; its fields are all that the library reads. */
type Long = Extract<onnx.IOperatorSetIdProto['version'], object>
