import { meaningOf } from './meaning.js'

/** Types that products are predicted in; the other words of a precision say how tensors are scaled, or which else take part. */
const types = ['bf16', 'fp16', 'fp8', 'mxfp8'] as const
const besides = ['mixed', 'tensorwise', 'rowwise', 'block']
const spellings: Readonly<Record<string, string>> = { bfloat16: 'bf16', float16: 'fp16', float8: 'fp8' }

/** The words of a precision, such as `bf16` and `fp8` of `BF16+float8`. */
function wordsOf(precision: string): string[] {
  const words = precision.toLowerCase().split(/[\s+/,_-]+/)
  return words.filter((word) => word !== '').map((word) => spellings[word] ?? word)
}

/** What is lacking to predict products in a precision of some types; empty where it is understood, or not given. */
export function precisionLacks(
  precision: string | null | undefined,
  known: readonly (typeof types)[number][] = types,
): readonly string[] {
  if (precision === null || precision === undefined) return []
  const words = wordsOf(precision)
  if (words.some((word) => /^(nv|mx)?fp4$/.test(word))) return ['products in four bits']
  const isType = (word: string) => known.some((type) => type === word)
  const isKnown = words.some(isType) && words.every((word) => isType(word) || besides.includes(word))
  return isKnown ? [] : [meaningOf('precision', precision, known)]
}

/** The type of activations that a precision names, and whether linear layers are multiplied in eight bits. */
export function typesOf(precision: string | null | undefined): { dtype?: 'bf16' | 'fp16'; isEight: boolean } {
  const words = wordsOf(precision ?? '')
  const dtype = (['bf16', 'fp16'] as const).find((type) => words.includes(type))
  return { ...(dtype && { dtype }), isEight: words.some((word) => word.endsWith('fp8')) }
}
