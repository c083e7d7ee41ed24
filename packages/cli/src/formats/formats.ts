import { chakra } from './chakra.js'
import type { ExportFormat } from './format.js'
import { graphml } from './graphml.js'
import { deepspeed, megatron, sglang, torchtitan, vllm } from './launchers.js'
import { onnx } from './onnx.js'
import { dot, json, mermaid } from './pictures.js'
import { spec } from './spec.js'
import { html, svg } from './svg.js'
import { csv, table } from './tables.js'

/** Every format that `shardloom export` writes, under the name that `--format` takes. */
export const formats: Readonly<Record<string, ExportFormat>> = {
  json,
  dot,
  mermaid,
  svg,
  html,
  graphml,
  csv,
  table,
  chakra,
  onnx,
  spec,
  megatron,
  torchtitan,
  deepspeed,
  vllm,
  sglang,
}
