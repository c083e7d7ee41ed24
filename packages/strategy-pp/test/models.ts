const rms = { kind: 'rms', bias: false }
const layer = { residual: 'sequential', norms: 'pre' }
const grouped = { kind: 'grouped', heads: 4, kvHeads: 2, headDim: 2, bias: { qkv: false, out: false }, rotary: true }
const dense = { kind: 'dense', intermediate: 8, activation: 'swiglu', bias: false }
const experts = {
  kind: 'moe',
  experts: 4,
  topK: 2,
  intermediate: 6,
  activation: 'swiglu',
  bias: false,
  routerBias: false,
  correctionBias: false,
}
const shared = { schema: 'shardloom.model/1', family: 'llama', hidden: 8, vocab: 12, norm: rms, tiedEmbeddings: false }

/** A small model of that many equal layers. */
export const uniform = (layers: number, more: object = {}) => ({
  ...shared,
  name: `dense-${layers}`,
  layers: { layer: { ...layer, attention: grouped, ffn: dense } },
  order: { runs: [{ layer: 'layer', count: layers }] },
  ...more,
})

/** Dense layers first, then layers with experts, as in DeepSeek-V3. */
export const mixed = (count: number) => ({
  ...shared,
  name: `mixed-${count}`,
  layers: {
    dense: { ...layer, attention: grouped, ffn: dense },
    moe: { ...layer, attention: grouped, ffn: experts },
  },
  order: {
    runs: [
      { layer: 'dense', count: 1 },
      { layer: 'moe', count: count - 1 },
    ],
  },
})
