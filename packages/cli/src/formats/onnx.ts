import { Option } from 'commander'
import { formatBytes, formatCounted } from 'shardloom'
import { type ExportFormat, onePlan } from './format.js'
import { partOption, shownRank } from './options.js'

/** The part of the plan that one rank runs as a model of ONNX. Throws what planning throws, and `ONNX_TYPE` and `ONNX_SIZE`. */
export const onnx: ExportFormat = {
  title: 'ONNX',
  extensions: ['onnx'],
  binary: true,
  options: [
    shownRank,
    partOption,
    new Option('--weights', 'onnx: parameters have the values of proofs; without, they are inputs'),
  ],
  help: `
Of onnx, a file is what --rank runs (default: 0), a stage of a pipeline.`,
  make: async (call) => {
    const plan = await onePlan(call)
    const { onnxOf } = await import('shardloom/onnx') // its protobuf library is loaded only for this
    const { rank } = call.flags
    const model = onnxOf(plan, {
      weights: call.flags.weights === true,
      ...(rank !== undefined && { rank: rank as number }), // parseRank
    })
    const { bytes, functions } = model
    const notice = `${formatBytes(bytes)}, ${formatCounted(functions.length, 'function')}`
    return { warnings: plan.warnings, notice, chunks: model.chunks(), report: { bytes, functions } }
  },
}
