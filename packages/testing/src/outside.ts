import { coordinates, lookup, type OperatorTable, type Program, type Tensor } from '@shardloom/core'
import { type Block, elementsOf, offsetsIn, shardPositions, valuesAt } from './block.js'
import { domainsOf, type InitialValue, modelTensor, usualValues } from './initial-values.js'
import { type Iterations, keyOf } from './iterations.js'
import { Shapes } from './shapes.js'

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

/**
 * The elements that one rank holds of the tensors from outside, as `interpret` makes them: row-major, by id and iterations of
 * the tensor's `per` axes.
 */
export function outsideValues(
  program: Program,
  operators: OperatorTable,
  { rank = 0, initial }: { readonly rank?: number; readonly initial?: InitialValue | undefined } = {},
): (tensor: string, iterations?: Iterations) => Float64Array {
  const outside = new Outside(program, operators, initial)
  const ranks = Array.from({ length: program.mesh.world }, (_, each) => coordinates(program.mesh, each))
  const shapes = new Shapes(program, ranks)
  return (id, iterations = new Map()) => {
    const tensor = lookup(program.tensors, id)
    return outside.part(tensor, shapes.held(tensor, rank, iterations), iterations).values
  }
}
