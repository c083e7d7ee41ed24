import type { Kernel, OperatorDefinition } from '@shardloom/core'

/** Turns the experts of each token into slots; where an expert has several, tokens take them in turn. */
const choose: Kernel = ([indices = new Float64Array()], { node, size, extent, positions }) => {
  const slots = node.attributes?.['slots']
  const slotsOf = new Map<number, number[]>()
  for (const [slot, expert] of (Array.isArray(slots) ? slots : []).entries())
    slotsOf.set(Number(expert), [...(slotsOf.get(Number(expert)) ?? []), slot])
  const [batch, seq, topK] = [positions('batch'), positions('seq'), size('topk')]
  return [
    indices.map((expert, at) => {
      const token = Math.floor(at / topK)
      const place = (batch[Math.floor(token / seq.length)] ?? 0) * extent('seq') + (seq[token % seq.length] ?? 0)
      const own = slotsOf.get(expert) ?? []
      return own[place % own.length] ?? 0
    }),
  ]
}

/** Chooses among the copies of each token's experts: the control node that redundant experts need. */
export const chooseCopy: OperatorDefinition = {
  name: 'choose_copy',
  kind: 'control',
  index: ['batch', 'seq'],
  execute: choose,
  describes: ({ attributes }) => {
    const slots = attributes?.['slots']
    const [all, own] = Array.isArray(slots) ? [slots.length, new Set(slots).size] : [0, 0]
    return `It turns the experts of each token into slots: ${all - own} of ${all} slots hold an expert once more (\`redundant\`), and the tokens of an expert take its copies in turn.`
  },
}
