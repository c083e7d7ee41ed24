import {
  corePasses,
  createMesh,
  type OperatorDefinition,
  type OperatorTable,
  operatorTable,
  type Preference,
  type Program,
  runPasses,
} from '@shardloom/core'

/** Adds, doubles, multiplies matrices, and two operators that cannot be run. */
export const operators: OperatorTable = operatorTable([
  {
    name: 'matmul',
    reduce: 'sum',
    linear: 'each',
    execute([a = new Float64Array(), b = new Float64Array()], { rule, size }) {
      // Row by column: the last dim of `a` is the first of `b`.
      const inner = size(rule.operands[1]?.[0] ?? '')
      const columns = size(rule.operands[1]?.[1] ?? '')
      const rows = inner === 0 ? size(rule.operands[0]?.[0] ?? '') : a.length / inner
      const out = new Float64Array(rows * columns)
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++)
          for (let k = 0; k < inner; k++)
            out[row * columns + column] =
              (out[row * columns + column] ?? 0) + (a[row * inner + k] ?? 0) * (b[k * columns + column] ?? 0)
      return [out]
    },
  },
  { name: 'double', linear: [[0]], execute: ([x = new Float64Array()]) => [x.map((value) => 2 * value)] },
  { name: 'square', execute: ([x = new Float64Array()]) => [x.map((value) => value * value)] },
  { name: 'silent' },
  { name: 'short', execute: () => [Float64Array.of(1)] },
  {
    name: 'broken',
    execute: () => {
      throw new Error('the table is empty')
    },
  },
  { name: 'curious', execute: ([x = new Float64Array()], { positions }) => [x.map(() => positions('row').length)] },
] satisfies OperatorDefinition[])

/** Plans a drawn program over a mesh; each wish splits one dim over the axis of its name. */
export function place(
  program: Program,
  degrees: Readonly<Record<string, number>>,
  wishes: Readonly<Record<string, string>>,
  table: OperatorTable = operators,
  fields: Partial<Program> = {},
): Program {
  const mesh = createMesh(Object.entries(degrees).map(([name, degree]) => ({ name, degree })))
  const preferences = Object.entries(wishes).map(
    ([axis, dims]): Preference => ({ strategy: axis, axis, class: 'feature', dims: dims.split(' ') }),
  )
  return runPasses({ ...program, mesh, preferences, ...fields }, corePasses, { operators: table, warn: () => {} })
}
