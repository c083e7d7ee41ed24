import {
  type Axis,
  type Composition,
  composePlugins,
  corePasses,
  createMesh,
  dimSizesOf,
  type OperatorTable,
  type Plugin,
  type Program,
  runPasses,
} from '@shardloom/core'
import {
  type BuildOptions,
  buildProgram,
  findPreset,
  type ModelArchitecture,
  type TransformerOptions,
  transformers,
} from '@shardloom/models'
import { type DataParallelOptions, dataParallel } from '@shardloom/strategy-dp'
import { type ExpertParallelOptions, expertParallel } from '@shardloom/strategy-ep'
import { type PipelineParallelOptions, pipelineParallel } from '@shardloom/strategy-pp'
import { type TensorParallelOptions, tensorParallel } from '@shardloom/strategy-tp'

export interface Planned {
  readonly program: Program
  readonly operators: OperatorTable
  readonly composition: Composition
}

export interface PlannedOptions {
  readonly tp?: TensorParallelOptions
  readonly ep?: ExpertParallelOptions
  readonly dp?: DataParallelOptions
  readonly pp?: PipelineParallelOptions
  readonly models?: TransformerOptions
  readonly uneven?: Program['uneven']
  readonly plugins?: (plugins: readonly Plugin[]) => readonly Plugin[]
}

/** The axes that divide the ranks of the others once more. */
const refactoring = ['expertDp', 'ep', 'expertTp']

/** Plans a real model, by preset or architecture, under data, tensor, expert and pipeline parallelism; axes outermost first. */
export function planned(
  model: string | ModelArchitecture,
  build: BuildOptions,
  degrees: Readonly<Record<string, number>>,
  options: PlannedOptions = {},
): Planned {
  const { plugins = (list) => list, uneven = 'refuse' } = options
  const built = buildProgram(typeof model === 'string' ? findPreset(model) : model, build)
  const composition = composePlugins(
    plugins([
      transformers(options.models),
      dataParallel(options.dp),
      tensorParallel(options.tp),
      expertParallel(options.ep),
      pipelineParallel(options.pp),
    ]),
  )
  const axes = Object.entries(degrees).map(([name, degree]): Axis => {
    const axis = uneven === 'ragged' ? undefined : composition.axes.find((each) => each.name === name)
    const factors = axis?.factors?.(
      degree,
      (dim) => dimSizesOf(built, dim),
      (other) => degrees[other] ?? 1,
    )
    return { name, degree, ...(factors && { factors }) }
  })
  const again = axes.filter(({ name }) => refactoring.includes(name))
  const within = axes.filter(({ name }) => composition.axes.some((axis) => axis.name === name && axis.within))
  const mesh = createMesh(
    axes.filter((axis) => !again.includes(axis) && !within.includes(axis)),
    again,
    within,
  )
  const context = { operators: composition.operators, warn: () => {} }
  const passes = [...composition.passes, ...corePasses]
  const program = runPasses({ ...built, uneven, mesh }, passes, context)
  return { program, operators: composition.operators, composition }
}

/** Every rank of a program's mesh. */
export function ranksOf(program: Program): number[] {
  return Array.from({ length: program.mesh.world }, (_, rank) => rank)
}
