import type { Answer, Question } from 'shardloom/search'
import { z } from 'zod'
import type { AnsweredPart, FailedPart, PartOutcome } from './part.js'

const count = z.number().int().nonnegative()
const candidate = z.object({
  name: z.string(),
  choices: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  score: z.number(),
  metrics: z.record(z.string(), z.number()),
})

/** An answer that was written somewhere, before it is trusted. */
export const answerSchema: z.ZodType<Answer> = z.object({
  counts: z.object({ total: count, rejected: z.record(z.string(), count), bounded: count, evaluated: count }),
  best: z.array(candidate),
  front: z.array(candidate),
  misses: z.array(candidate.extend({ rule: z.string(), by: z.number() })),
})

/** A part with its answer, as a line of a checkpoint and in a document of answers. */
export const answeredPartSchema: z.ZodType<AnsweredPart> = z.object({ part: count, answer: answerSchema })

const failedPartSchema: z.ZodType<FailedPart> = z.object({
  part: count,
  failure: z.object({
    code: z.string(),
    message: z.string(),
    help: z.string().exactOptional(),
    subject: z.string().exactOptional(),
  }),
})

/** What a worker gives back. */
export const partOutcomeSchema: z.ZodType<PartOutcome> = z.union([answeredPartSchema, failedPartSchema])

/** What merging needs of a question; who answers it checks the rest. */
const questionSchema = z.looseObject({
  schema: z.literal('shardloom.question/1'),
  parts: count.min(1),
  top: count,
  kept: count.optional(),
  front: z.tuple([z.string(), z.string()]).optional(),
})

/** A document of answers, see `answersDocument`. */
export const answersDocumentSchema = z.object({
  schema: z.literal('shardloom.answers/1'),
  question: questionSchema.transform((question) => question as unknown as Question), // read again where it is answered
  parts: z.array(answeredPartSchema),
})

/** The first thing that is wrong, with where it stands: `parts.0.answer: expected object`. */
export function firstIssue({ issues: [issue] }: z.ZodError): string {
  const path = issue?.path.join('.')
  return `${path ? `${path}: ` : ''}${issue?.message ?? 'unknown'}`
}
