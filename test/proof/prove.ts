import type { Program } from '@shardloom/core'
import type { BuildOptions, ModelArchitecture } from '@shardloom/models'
import { compareRuns, type Equivalence, type InterpretOptions, type Reference, runReference } from '@shardloom/testing'
import { expect } from 'vitest'
import { type Planned, type PlannedOptions, planned } from '../../packages/core/test/planned.js'
import { tally } from './tally.js'

/** Degrees by axis. */
export type Degrees = Readonly<Record<string, number>>

const references = new Map<string, { readonly model: ModelArchitecture; readonly reference: Reference }>()

/** The run of one device, made once per model and options. */
export function referenceOf(model: ModelArchitecture, build: BuildOptions, options: InterpretOptions = {}): Reference {
  const key = JSON.stringify([model.name, build])
  const known = references.get(key)
  if (known?.model === model && !options.initial) return known.reference
  const { program, operators } = planned(model, build, {})
  const reference = runReference(program, operators, options)
  if (!options.initial) references.set(key, { model, reference })
  return reference
}

/** A plan that has been run and is equal to one device, or the test fails with the first difference. */
export interface Proven extends Planned {
  readonly equivalence: Equivalence
}

/** Plans a model on many ranks, runs it and expects every tensor to be that of one device. */
export function prove(
  model: ModelArchitecture,
  build: BuildOptions,
  degrees: Degrees,
  options: PlannedOptions = {},
  run: InterpretOptions = {},
): Proven {
  const reference = referenceOf(model, build, run)
  const many = planned(model, build, degrees, options)
  const equivalence = compareRuns(reference, many.program, many.operators, run)
  expect(equivalence.difference?.message, JSON.stringify([model.name, build, degrees, options])).toBeUndefined()
  expect(equivalence.worst.error).toBeLessThan(1e-9)
  expect(equivalence.compared).toBeGreaterThan(10)
  tally({
    specs: 1,
    tensors: equivalence.compared,
    executed: Object.fromEntries(equivalence.executed),
    worst: equivalence.worst.error,
  })
  return { ...many, equivalence }
}

/** How often the program runs nodes of each kind of communication, all ranks together. */
export function communicated({ equivalence }: Proven): Record<string, number> {
  const kinds = ['all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all']
  return Object.fromEntries(
    kinds.flatMap((op) => (equivalence.executed.has(op) ? [[op, equivalence.executed.get(op) ?? 0]] : [])),
  )
}

/** The phases, with a training step of two microbatches and a decoding of three steps. */
export const phases: Readonly<Record<Program['phase'], BuildOptions>> = {
  training: { phase: 'training', batch: 12, seq: 5, microbatches: 2 },
  prefill: { phase: 'prefill', batch: 12, seq: 5 },
  decode: { phase: 'decode', batch: 12, seq: 5, steps: 3 },
}
