import { type OnnxModel, type OnnxOptions, onnxModel } from '@shardloom/exporters/onnx'
import type { Plan } from './plan.js'

export type { OnnxModel, OnnxOptions }

/** The part of a plan that one rank runs as a model of ONNX (see `onnxModel`). Throws `RANK`, `ONNX_TYPE` and `ONNX_SIZE`. */
export function onnxOf(
  { program, operators }: Pick<Plan, 'program' | 'operators'>,
  options: OnnxOptions = {},
): OnnxModel {
  return onnxModel(program, operators, options)
}
