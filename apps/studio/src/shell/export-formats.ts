/** Every format that can be saved, in the order of the menu; all but pictures of the view are those of `shardloom export`. */
export const exportGroups = [
  {
    title: 'This view',
    formats: [
      ['view-svg', 'SVG'],
      ['view-png', 'PNG'],
    ],
  },
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

export type ExportName = (typeof exportGroups)[number]['formats'][number][0]
