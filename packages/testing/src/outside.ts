import type { OperatorTable, Program, Tensor } from '@shardloom/core'
import { type Block, elementsOf, offsetsIn, shardPositions, valuesAt } from './block.js'
import { domainsOf, type InitialValue, modelTensor, usualValues } from './initial-values.js'
import { type Iterations, keyOf } from './iterations.js'

/** The tensors that come from outside of a program, whole: what all ranks take their parts of. */
export class Outside {
  private readonly whole = new Map<string, Float64Array>()
  private readonly domains: ReturnType<typeof domainsOf>

  constructor(
    private readonly program: Program,
    operators: OperatorTable,
    private readonly initial: InitialValue | undefined,
  ) {
    this.domains = domainsOf(program, operators)
  }

  /** The elements of a tensor at these positions. */
  part(tensor: Tensor, positions: readonly Int32Array[], iterations: Iterations): Block {
    const { model, taken } = modelTensor(tensor)
    const everywhere = model.shape.map((size) => shardPositions(size, [], this.program.mesh, nobody))
    const key = `${tensor.id} ${keyOf(tensor, iterations)}`
    const whole = this.whole.get(key) ?? this.make(model, iterations, elementsOf(everywhere))
    this.whole.set(key, whole)
    return { positions, values: valuesAt(whole, offsetsIn(everywhere, positions.map(taken))) }
  }

  private make(model: Tensor, iterations: Iterations, elements: number): Float64Array {
    const own = model.per.map((axis) => iterations.get(axis) ?? 0)
    const usual = usualValues(model, own, this.domains.get(model.id))
    const values = new Float64Array(elements)
    for (let index = 0; index < elements; index++) values[index] = this.initial?.(model, own, index) ?? usual(index)
    return values
  }
}

const nobody: ReadonlyMap<string, number> = new Map()
