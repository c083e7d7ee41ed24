import { isModelPath, loadSpec } from 'shardloom'
import { answersOf, nearMissesOf, type Question, simulationOf } from 'shardloom/search'
import { readTextFile } from '../read-file.js'
import { importModule } from '../spec-flags.js'
import type { LoadQuestion } from './answerer.js'

/** Reads what a question is about; the files that its spec names are found by their paths, which are absolute. */
export const loadQuestion: LoadQuestion = async (question) => {
  const loaded = await loadAsked(question)
  return {
    ...answersOf(loaded, question),
    simulated: (candidate) => simulationOf(loaded, question, candidate),
    nearMisses: ({ answer, others, among }) => nearMissesOf({ loaded, question }, answer, others, among),
  }
}

/** The spec of a question with everything read that it names. */
export function loadAsked({ spec }: Question) {
  return loadSpec(spec, {
    readText: (path) => readTextFile(process, path, path),
    importPlugin: (path) => importModule(path, path),
  })
}

/** A question that can be asked from any folder: each file that its spec names is named by its whole path. */
export function withWholePaths(question: Question, found: (path: string) => string): Question {
  const { plugins, cluster, options = {}, ...spec } = question.spec
  const whole = (path: string) => (isModelPath(path) ? found(path) : path)
  const { efficiency, schedule, serving, ...rest } = options
  const pool = (name: 'prefill' | 'decode') => {
    const own = serving?.[name]
    return own && { [name]: typeof own.cluster === 'string' ? { ...own, cluster: whole(own.cluster) } : own }
  }
  return {
    ...question,
    spec: {
      ...spec,
      ...(cluster !== undefined && { cluster: typeof cluster === 'string' ? whole(cluster) : cluster }),
      ...(plugins && { plugins: plugins.map(found) }),
      options: {
        ...rest,
        ...(efficiency !== undefined && { efficiency: found(efficiency) }),
        ...(schedule !== undefined && { schedule: /\.csv$/i.test(schedule) ? found(schedule) : schedule }),
        ...(serving && { serving: { ...serving, ...pool('prefill'), ...pool('decode') } }),
      },
    },
  }
}
