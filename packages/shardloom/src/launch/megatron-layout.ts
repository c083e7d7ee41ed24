import type { SettingsReader } from './settings-reader.js'

/**
 * Layers of each chunk, in the order of the data, as `--pipeline-model-parallel-layout` of Megatron-LM: E embedding, t layer,
 * L loss, a bar between chunks.
 */
export function writeLayout(layers: readonly number[]): string {
  const chunks = layers.map((count) => (count > 1 ? `t*${count}` : 't'.repeat(count)))
  return `E${chunks.join('|')}L`
}

/** The layers of each chunk, where flags give them one by one; undefined: as many each. */
export function readLayers(flags: SettingsReader, pp: number): readonly number[] | undefined {
  const layout = flags.text('pipeline-model-parallel-layout')
  const [first, last] = [
    flags.count('decoder-first-pipeline-num-layers'),
    flags.count('decoder-last-pipeline-num-layers'),
  ]
  if (layout !== undefined) {
    const chunks = expanded(layout)
      .split('|')
      .map((chunk) => chunk.split('t').length - 1)
    if (/^[EtLm|]*$/.test(expanded(layout)) && chunks.length % pp === 0) return chunks
    return flags.refuse(
      'pipeline-model-parallel-layout',
      `\`${layout}\` is no list of chunks for ${pp} stages`,
      'Such as `Et*3|t*4|t*4|t*3L`.',
    )
  }
  if (first === undefined && last === undefined) return undefined
  const [total, fixed] = [flags.count('num-layers') ?? 0, [first, last].filter((each) => each !== undefined)]
  const each = (total - fixed.reduce((sum, count) => sum + count, 0)) / (pp - fixed.length)
  if (Number.isInteger(each) && each >= 0)
    return Array.from({ length: pp }, (_, stage) => (stage === 0 ? first : stage === pp - 1 ? last : each) ?? each)
  return flags.refuse(
    'decoder-first-pipeline-num-layers',
    `what they leave of ${total} layers does not divide over ${pp - fixed.length} stages`,
    'Give `--num-layers`, and counts that leave a multiple.',
  )
}

/** `(tt|)*2,L` as `tt|tt|L`; a product of letters or of a group. */
function expanded(layout: string): string {
  return layout
    .replace(/\(([^()]*)\)\*(\d+)/g, (_, group: string, count: string) => times(inner(group), count))
    .replace(/(\w)\*(\d+)/g, (_, letter: string, count: string) => times(letter, count))
    .replace(/[,\s]/g, '')
}

const inner = (group: string) =>
  group.replace(/(\w)\*(\d+)/g, (_, letter: string, count: string) => times(letter, count))

const times = (text: string, count: string) => text.repeat(Math.min(Number(count), 1000))
