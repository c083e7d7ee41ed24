import { describeModel, presetModels } from 'shardloom'
import { z } from 'zod'
import { defineTool } from '../tool.js'

const figures = z.looseObject({
  preset: z.string().optional().describe('what a spec calls it'),
  name: z.string(),
  parameters: z.number().describe('exact count'),
  activeParameters: z.number().describe('parameters that one token uses'),
  layers: z.number(),
  cacheElementsPerToken: z.number().describe('KV cache elements of all layers per token; 2 bytes each in bf16'),
})

/** `list_models`: the presets in figures, or one model. */
export const listModels = defineTool({
  name: 'list_models',
  title: 'List models',
  description:
    'Model presets that a spec may name, with exact parameter counts, layers, heads, experts, KV-cache elements per token. Give `model` for one alone: a preset, the path of a Hugging Face config.json below the root, or the config itself. Example: {"model": "llama-3.1-8b"}',
  units: 'Counts: parameters, layers, elements (not bytes), tokens.',
  narrow: 'Give `model`.',
  input: {
    model: z
      .union([z.string().max(1000), z.record(z.string(), z.unknown())])
      .optional()
      .describe('a preset such as llama-3.1-8b, a path, or a config object; default: all presets'),
  },
  output: { models: z.array(figures) },
  run: async ({ model }, { files }) => ({
    schema: 'shardloom.models/1',
    models: model === undefined ? presetModels() : [await describeModel(model, files.access().readText)],
  }),
})
