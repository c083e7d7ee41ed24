import type { OnnxContext, OperatorDefinition } from '@shardloom/core'

/** What an operator means in ONNX. */
export type OnnxMeaning = NonNullable<OperatorDefinition['onnx']>

/** The names of nodes that most meanings are made of, with constants in the type that the node computes in. */
export function arithmetic(context: OnnxContext) {
  const { add, constant } = context
  const named = (value: string | number) => (typeof value === 'number' ? constant(value, 'float') : value)
  const binary = (op: string) => (a: string | number, b: string | number) => add(op, [named(a), named(b)])
  const unary = (op: string) => (x: string) => add(op, [x])
  return {
    plus: binary('Add'),
    minus: binary('Sub'),
    times: binary('Mul'),
    over: binary('Div'),
    power: binary('Pow'),
    sqrt: unary('Sqrt'),
    exp: unary('Exp'),
    log: unary('Log'),
    sigmoid: unary('Sigmoid'),
    tanh: unary('Tanh'),
    /** A value as 64-bit whole numbers. */
    whole: (x: string) => add('Cast', [x], { to: 7 }),
    /** A sum over some dims. */
    sum: (x: string, axes: readonly number[], keep = false) =>
      axes.length === 0 ? x : add('ReduceSum', [x, constant(axes, 'int64')], { keepdims: keep ? 1 : 0 }),
    /** A value with further dims of size 1. */
    unsqueeze: (x: string, axes: readonly number[]) =>
      axes.length === 0 ? x : add('Unsqueeze', [x, constant(axes, 'int64')]),
  }
}

/**
 * A value with the dims `own` so that it is broadcast over `dims`: a dim of size 1 for each that it lacks behind its first.
 * Undefined where its dims have another order.
 */
export function broadcast(
  context: OnnxContext,
  value: string,
  own: readonly string[],
  dims: readonly string[],
): string | undefined {
  const places = own.map((dim) => dims.indexOf(dim))
  if (places.some((place, index) => place < 0 || place <= (places[index - 1] ?? -1))) return undefined
  const [first = dims.length] = places
  const missing = dims.flatMap((_, place) => (place > first && !places.includes(place) ? [place - first] : []))
  return arithmetic(context).unsqueeze(value, missing)
}

/** The places of dims in a list of them. */
export const placesOf = (dims: readonly string[], isMeant: (dim: string) => boolean): number[] =>
  dims.flatMap((dim, place) => (isMeant(dim) ? [place] : []))

/** A number among the attributes of a node. */
export function attributeOf({ node }: OnnxContext, name: string): number | undefined {
  const value = node.attributes?.[name]
  return typeof value === 'number' ? value : undefined
}
