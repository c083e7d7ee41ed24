import { fieldsOf, valueAt, withField } from '../state/spec-text.js'

type Phase = 'training' | 'prefill' | 'decode' | 'serving'

const ofTraining = ['zero', 'schedule', 'virtual', 'recompute', 'offload', 'gradientDtype', 'loss', 'barriers']
const ofInference = ['weightDtype', 'cacheDtype', 'prefill', 'decode', 'serving']
const ofSteps = ['sequenceParallel']

/** Options that a phase does not have, and is refused with. */
const foreign: Readonly<Record<Phase, readonly string[]>> = {
  training: ofInference,
  prefill: [...ofTraining, 'decode', 'serving'],
  decode: [...ofTraining, ...ofSteps, 'serving'],
  serving: [...ofTraining, ...ofSteps],
}

/** Options that say nothing, and are refused, while an axis has one rank. */
export const idleAlone: Readonly<Record<string, readonly string[]>> = {
  pp: ['schedule', 'virtual', 'pp'],
  tp: ['sequenceParallel'],
}

/** The text with another phase, without what that phase does not have. */
export function withPhase(text: string, phase: Phase): string {
  const changed = without(withField(text, ['phase'], phase), foreign[phase])
  return phase === 'serving' ? withField(changed, ['microbatch'], undefined) : changed
}

/** The text with another degree of an axis, without what says nothing about one rank. */
export function withDegree(text: string, axis: string, degree: number): string {
  const changed = withField(text, ['parallel', axis], degree === 1 ? undefined : degree)
  return degree === 1 ? without(changed, idleAlone[axis] ?? []) : changed
}

function without(text: string, options: readonly string[]): string {
  return options.reduce((left, name) => {
    const path = ['options', name]
    return valueAt(fieldsOf(left), path) === undefined ? left : withField(left, path, undefined)
  }, text)
}
