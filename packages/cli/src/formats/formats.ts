import { chakra } from './chakra.js'
import type { ExportFormat } from './format.js'
import { onnx } from './onnx.js'
import { dot, json, mermaid } from './pictures.js'

/** Every format that `shardloom export` writes, under the name that `--format` takes. */
export const formats: Readonly<Record<string, ExportFormat>> = { json, dot, mermaid, chakra, onnx }
