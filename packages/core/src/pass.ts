import { communicateProgram } from './communicate.js'
import { divideBackward } from './divide-backward.js'
import { edit } from './draft.js'
import { isShardloomError, nearest, ShardloomError } from './error.js'
import { flow, placementsOfTensors } from './flow.js'
import type { OperatorTable } from './operator.js'
import { partitioner } from './partition.js'
import { samePlacement } from './placement.js'
import { type Item, nodesOf, type OperatorNode, type Program, type Tensor } from './program.js'
import { shapeFault } from './shape.js'
import { transferProgram } from './transfer.js'

/** The phases of the pipeline, in order. */
export const passPhases = ['build', 'differentiate', 'partition', 'place', 'communicate', 'schedule', 'verify'] as const

export type PassPhase = (typeof passPhases)[number]

/** What a pass may use besides the program. */
export interface PassContext {
  readonly operators: OperatorTable
  /** Told when a pass skips what the user asked for. */
  readonly warn: (message: string) => void
}

/** A step of the pipeline: pure, synchronous, idempotent, deterministic. The same object back means unchanged. */
export interface Pass {
  /** `plugin/verb-noun`. */
  readonly name: string
  readonly phase: PassPhase
  /** Names of passes of the same phase that must run before, where they are present. */
  readonly after?: readonly string[]
  readonly run: (program: Program, context: PassContext) => Program
}

/** Sees every pass run; instruments never change a program. */
export interface Instrument {
  readonly before?: (pass: Pass, program: Program) => void
  readonly after?: (pass: Pass, before: Program, after: Program) => void
}

function changed(program: Program, tensors: readonly Tensor[], items: readonly Item[]): Program {
  const draft = edit(program)
  for (const tensor of tensors) draft.setTensor(tensor)
  draft.setItems(items)
  return draft.commit()
}

/** Dims of operators are chosen by the preferences of the strategies. */
const partitionPass: Pass = {
  name: 'core/partition',
  phase: 'partition',
  run(program, { operators }) {
    const result = flow(program, operators, partitioner(program, operators))
    if (sameItems(result.items, program.items)) return program
    return changed(program, result.added, result.items)
  },
}

/** Placements of every tensor and port follow from the partitions. */
const placePass: Pass = {
  name: 'core/place',
  phase: 'place',
  run(program, { operators }) {
    const placements = placementsOfTensors(program, operators)
    const moved: Tensor[] = []
    for (const tensor of program.tensors.values()) {
      const placement = placements.get(tensor.id)
      if (placement && !(tensor.placement && samePlacement(tensor.placement, placement)))
        moved.push({ ...tensor, placement })
    }
    return moved.length ? changed(program, moved, program.items) : program
  },
}

/** Every mismatch of placements becomes a communication node. */
const communicatePass: Pass = {
  name: 'core/communicate',
  phase: 'communicate',
  run(program, { operators }) {
    const { items, tensors } = communicateProgram(program, operators)
    const all = new Map([...program.tensors.values(), ...tensors].map((tensor) => [tensor.id, tensor]))
    const moved = transferProgram(tensors.length ? { ...program, items, tensors: all } : program)
    const made = [...tensors, ...moved.tensors]
    return made.length ? changed(program, made, moved.items) : program
  },
}

/** Backward operators of a pipeline learn whether the gradient that leaves the chunk needs them. */
const gradientPass: Pass = {
  name: 'core/divide-backward',
  phase: 'schedule',
  run(program) {
    const backward = (node: OperatorNode) => node.segment === 'backward' && node.gradient === undefined
    if (!program.pipeline || !nodesOf(program.items).some(backward)) return program
    return { ...program, items: divideBackward(program.items) }
  },
}

/** The passes of core itself; within their phase they stand last. */
export const corePasses: readonly Pass[] = [partitionPass, placePass, communicatePass, gradientPass]

const sameItems = (a: readonly Item[], b: readonly Item[]) =>
  isPartitioned(b) && JSON.stringify(a) === JSON.stringify(b)

/** Whether every operator is decided; a strategy may have said something of some of them before. */
function isPartitioned(items: readonly Item[]): boolean {
  return nodesOf(items).every((node) => node.partition !== undefined || node.kind === 'communication')
}

/**
 * Orders passes by phase, then by `after`, then as listed. Throws `PASS_TWICE`, `PASS_UNKNOWN` (an `after` that names no
 * pass at all) and `PASS_CYCLE`.
 */
export function orderPasses(passes: readonly Pass[]): Pass[] {
  const names = new Set<string>()
  for (const pass of passes) {
    if (names.has(pass.name))
      throw new ShardloomError('PASS_TWICE', `The pass \`${pass.name}\` is registered twice.`, {
        subject: pass.name,
        help: 'Remove one of the plugins that bring it.',
      })
    names.add(pass.name)
  }
  const ordered: Pass[] = []
  for (const phase of passPhases) {
    let rest = passes.filter((pass) => pass.phase === phase)
    while (rest.length) {
      const waiting = new Set(rest.map((pass) => pass.name))
      const ready = rest.find((pass) => !(pass.after ?? []).some((name) => waiting.has(name)))
      if (!ready) {
        const waitingFor = rest.map((pass) => `\`${pass.name}\``).join(', ')
        throw new ShardloomError('PASS_CYCLE', `The passes ${waitingFor} wait for each other.`, {
          help: 'Remove one `after`.',
        })
      }
      ordered.push(ready)
      rest = rest.filter((pass) => pass !== ready)
    }
  }
  for (const pass of passes) {
    const missing = (pass.after ?? []).find((name) => !names.has(name))
    if (missing === undefined) continue
    const near = nearest(missing, names)
    const message = `The pass \`${pass.name}\` runs after \`${missing}\`, which does not exist.`
    throw new ShardloomError('PASS_UNKNOWN', message, near ? { help: `Did you mean \`${near}\`?` } : {})
  }
  return ordered
}

/**
 * Runs passes in their order. A plain error inside a pass is wrapped once, with the pass and those that ran before
 * (`PASS_FAILED`). What a pass returns must be a program, else later code would fail without naming it (`PASS_RESULT`).
 */
export function runPasses(
  program: Program,
  passes: readonly Pass[],
  context: PassContext,
  instruments: readonly Instrument[] = [],
): Program {
  let current = program
  const done: string[] = []
  for (const pass of orderPasses(passes)) {
    for (const instrument of instruments) instrument.before?.(pass, current)
    const before = current
    try {
      current = pass.run(before, context)
    } catch (cause) {
      if (isShardloomError(cause)) throw cause
      const text = cause instanceof Error ? cause.message : String(cause)
      throw new ShardloomError('PASS_FAILED', `The pass \`${pass.name}\` failed: ${text}`, {
        subject: pass.name,
        cause,
        help: `Passes that ran before it: ${done.join(', ') || 'none'}.`,
      })
    }
    if (current !== before && !corePasses.includes(pass)) checkResult(pass, current, before)
    done.push(pass.name)
    for (const instrument of instruments) instrument.after?.(pass, before, current)
  }
  return current
}

function checkResult({ name }: Pass, result: Program, before: Program): void {
  let fault: string | undefined
  try {
    fault = result instanceof Promise ? 'it is a promise' : shapeFault(result, before)
  } catch (error) {
    fault = `reading it fails: ${error instanceof Error ? error.message : error}`
  }
  if (fault === undefined) return
  const help = 'Return `edit(program).commit()`, a changed copy, or the same object where there is nothing to do.'
  const message = `What the pass \`${name}\` returned is no program: ${fault}.`
  throw new ShardloomError('PASS_RESULT', message, { subject: name, help })
}
