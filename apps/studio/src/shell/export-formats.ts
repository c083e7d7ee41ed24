/** What the view that is looked at can be saved as. */
export const pictureFormats = [
  ['view-svg', 'SVG'],
  ['view-png', 'PNG'],
] as const

export type PictureName = (typeof pictureFormats)[number][0]

/** Every format that a plan can be saved in, in the order of the menu: those of `shardloom export`. */
export const exportGroups = [
  {
    title: 'Plan',
    formats: [
      ['spec', 'Spec (YAML)'],
      ['json', 'Program (JSON)'],
      ['html', 'Report (HTML)'],
      ['markdown', 'Markdown block'],
    ],
  },
  {
    title: 'Graph',
    formats: [
      ['dot', 'Graphviz DOT'],
      ['mermaid', 'Mermaid'],
      ['graphml', 'GraphML'],
      ['csv', 'Node table (CSV)'],
      ['table', 'Node table (JSON)'],
      ['onnx', 'ONNX, rank 0'],
    ],
  },
  {
    title: 'Time',
    formats: [
      ['trace', 'Chrome trace'],
      ['chakra', 'Chakra traces'],
    ],
  },
  {
    title: 'Launch',
    formats: [
      ['megatron', 'Megatron-LM'],
      ['torchtitan', 'torchtitan'],
      ['deepspeed', 'DeepSpeed'],
      ['vllm', 'vLLM'],
      ['sglang', 'SGLang'],
    ],
  },
] as const satisfies readonly { readonly title: string; readonly formats: readonly (readonly [string, string])[] }[]

export type ExportName = PictureName | (typeof exportGroups)[number]['formats'][number][0]
