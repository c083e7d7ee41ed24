import { ShardloomError } from 'shardloom'
import type { Answer, Question } from 'shardloom/search'
import { answersDocumentSchema, firstIssue } from './answers-schema.js'
import { type Outcome, outcomeOf } from './outcome.js'
import { partsOf } from './part.js'
import { questionDifference } from './question-difference.js'
import { canonicalJson } from './question-hash.js'

/** What some parts of a question answered (`shardloom.answers/1`): a result that is to be merged with those of the other parts. */
export interface AnswersDocument {
  readonly schema: 'shardloom.answers/1'
  readonly question: Question
  /** By part, ascending. */
  readonly parts: readonly { readonly part: number; readonly answer: Answer }[]
}

/** A document of the parts that an outcome has. */
export function answersDocument(question: Question, { answers }: Outcome): AnswersDocument {
  const parts = [...answers].sort(([a], [b]) => a - b).map(([part, answer]) => ({ part, answer }))
  return { schema: 'shardloom.answers/1', question, parts }
}

/** Answers that are merged. */
export interface Merged {
  readonly question: Question
  readonly outcome: Outcome
  /** Parts that several documents have, ascending; they count once. */
  readonly doubled: readonly number[]
}

/**
 * Merges documents of answers, which must be of one question. `name` is what the user calls a document, such as its path. Throws `ANSWERS`
 * for what is no such document, for one of another question, and where two documents differ in the answer of a part.
 */
export function mergeDocuments(documents: readonly { readonly name: string; readonly text: string }[]): Merged {
  const read = documents.map(({ name, text }) => ({ name, ...readDocument(name, text) }))
  const [first] = read
  if (!first) throw new ShardloomError('ANSWERS', 'There are no answers to merge.', { help: 'Name their files.' })
  const answers = new Map<number, Answer>()
  const origin = new Map<number, string>()
  const doubled = new Set<number>()
  for (const { name, question, parts } of read) {
    if (canonicalJson(question) !== canonicalJson(first.question)) {
      const difference = questionDifference(first.question, question, [first.name, name])
      throw new ShardloomError('ANSWERS', `${name} and ${first.name} answer different questions: ${difference}.`, {
        subject: name,
        help: 'Merge parts that were asked with the same spec, choices, objective, limits and number of parts.',
      })
    }
    for (const { part, answer } of parts) {
      const before = answers.get(part)
      if (before && canonicalJson(before) !== canonicalJson(answer))
        throw new ShardloomError('ANSWERS', `${name} and ${origin.get(part)} have different answers of part ${part}.`, {
          subject: name,
          help: 'Were they made by different versions of shardloom? Leave one of them out, or search again.',
        })
      if (before) doubled.add(part)
      answers.set(part, answer)
      origin.set(part, name)
    }
  }
  return {
    question: first.question,
    outcome: outcomeOf(first.question, { asked: partsOf(first.question), answers }),
    doubled: [...doubled].sort((a, b) => a - b),
  }
}

function readDocument(name: string, text: string): AnswersDocument {
  const { success, data, error } = answersDocumentSchema.safeParse(parse(name, text))
  if (!success) throw notAnswers(name, firstIssue(error))
  const beyond = data.parts.find(({ part }) => part >= data.question.parts)
  if (beyond) throw notAnswers(name, `it has part ${beyond.part}, and its question has ${data.question.parts}`)
  return data
}

function parse(name: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw notAnswers(name, 'it is not JSON')
  }
}

function notAnswers(name: string, reason: string): ShardloomError {
  return new ShardloomError('ANSWERS', `${name} is no result of \`shardloom search --shard\`: ${reason}.`, {
    subject: name,
    help: 'Merge documents with the schema shardloom.answers/1.',
  })
}
