import { type DataType, dataTypes } from '@shardloom/core'

/** Elements as the raw data of a tensor: little-endian. */
export function elementBytes(values: ArrayLike<number>, dtype: DataType): Uint8Array {
  const [width, put] = [dataTypes[dtype], writers[dtype]]
  const bytes = new Uint8Array(values.length * width)
  const view = new DataView(bytes.buffer)
  for (let index = 0; index < values.length; index++) put(view, index * width, values[index] ?? 0)
  return bytes
}

const writers: Readonly<Record<DataType, (view: DataView, at: number, value: number) => void>> = {
  fp64: (view, at, value) => view.setFloat64(at, value, true),
  fp32: (view, at, value) => view.setFloat32(at, value, true),
  bf16: (view, at, value) => view.setUint16(at, bfloat16(value), true),
  fp16: (view, at, value) => view.setUint16(at, float16(value), true),
  int64: (view, at, value) => view.setBigInt64(at, BigInt(value), true),
  int32: (view, at, value) => view.setInt32(at, value, true),
  int8: (view, at, value) => view.setInt8(at, value),
  fp8: (view, at, value) => view.setUint8(at, value),
}

const scratch = new DataView(new ArrayBuffer(4))

function bits32(value: number): number {
  scratch.setFloat32(0, value)
  return scratch.getUint32(0)
}

/** The upper half of a single, rounded to the nearest, of two as near to the even one. */
function bfloat16(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0
  const bits = bits32(value)
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

/** A half (IEEE 754 binary16), rounded to the nearest, of two as near to the even one. */
function float16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const size = Math.abs(value)
  if (Number.isNaN(value)) return 0x7e00
  if (size >= 65_520) return sign | 0x7c00
  // Subnormal numbers are multiples of 2^-24; others have 10 bits behind the first.
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 2 ** -30)))
  const units = roundToEven(size / 2 ** (exponent - 10))
  return sign | (units < 1024 ? units : ((exponent + 14) << 10) + units)
}

function roundToEven(value: number): number {
  const low = Math.floor(value)
  const rest = value - low
  if (rest !== 0.5) return Math.round(value)
  return low + (low % 2)
}
