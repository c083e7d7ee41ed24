import { type FileHandle, open } from 'node:fs/promises'
import { ShardloomError } from 'shardloom'
import type { Answer, Question } from 'shardloom/search'
import { z } from 'zod'
import { type Io, locate } from '../io.js'
import { singleLine } from '../style.js'
import { version } from '../version.js'
import { outputError } from '../write-file.js'
import { answeredPartSchema, firstIssue } from './answers-schema.js'
import type { AnsweredPart } from './part.js'
import { questionDifference } from './question-difference.js'
import { questionHash } from './question-hash.js'

/** A file that keeps the answers of parts, one JSON line each behind a header, so that a search that was ended goes on from there. */
export interface Checkpoint {
  /** What the file had when it was opened. */
  readonly answers: ReadonlyMap<number, Answer>
  /** Adds a line; it is on the disk when this returns. */
  add(answered: AnsweredPart): Promise<void>
  close(): Promise<void>
}

const headerSchema = z.object({
  schema: z.literal('shardloom.checkpoint/1'),
  /** Who wrote it: another release may estimate otherwise. Not there in files of early ones. */
  version: z.string().optional(),
  /** SHA-256 of the question's canonical JSON. */
  question: z.string(),
  parts: z.number(),
  /** The question itself, to say in what another differs. Not there in early files. */
  asked: z.unknown().optional(),
})

/**
 * Opens a checkpoint of a question, or begins one where there is no file or an empty one. A last line without its end was cut by
 * the end of a process: it is removed. Throws `CHECKPOINT` for any other file, and one of another release, which stays as it is, and `OUTPUT` when it
 * cannot be written.
 */
export async function openCheckpoint(io: Io, path: string, question: Question): Promise<Checkpoint> {
  const first: z.output<typeof headerSchema> = {
    schema: 'shardloom.checkpoint/1',
    version: version(),
    question: questionHash(question),
    parts: question.parts,
    asked: question,
  }
  const header = `${JSON.stringify(first)}\n`
  let handle: FileHandle | undefined
  try {
    handle = await open(locate(io, path), 'a+')
    const found = await handle.stat()
    if (!found.isFile()) throw refusal(path, 'it is no file')
    if (found.size > largestCheckpoint) throw refusal(path, `it has ${(found.size / 1e6).toFixed(0)} MB`)
    const text = await handle.readFile('utf8')
    const whole = text.slice(0, text.lastIndexOf('\n') + 1)
    const begun = whole !== '' || !header.startsWith(text)
    const answers = begun ? readLines(whole || text, path, question) : new Map<number, Answer>()
    if (whole !== text) await handle.truncate(Buffer.byteLength(whole))
    if (!begun) await append(handle, header)
    return checkpointOf(handle, path, answers)
  } catch (cause) {
    await handle?.close()
    throw outputError(cause, path, 'Give another path to --checkpoint.')
  }
}

/** Bytes of the largest file that is read. */
const largestCheckpoint = 256_000_000

function checkpointOf(handle: FileHandle, path: string, answers: ReadonlyMap<number, Answer>): Checkpoint {
  let last: Promise<void> = Promise.resolve()
  return {
    answers,
    add({ part, answer }) {
      // One after the other, so that what was cut is always the last line.
      last = last.then(() => append(handle, `${JSON.stringify({ part, answer })}\n`))
      return last.catch((cause) => {
        throw outputError(cause, path, 'What it holds is kept: make room, and go on from it.')
      })
    },
    async close() {
      await last.catch(() => {})
      await handle.close()
    },
  }
}

async function append(handle: FileHandle, line: string): Promise<void> {
  await handle.appendFile(line)
  await handle.datasync()
}

/** The answers of the lines. A part that is there twice counts once. */
function readLines(text: string, path: string, question: Question): ReadonlyMap<number, Answer> {
  const [first = '', ...lines] = text.split('\n')
  const found = headerSchema.safeParse(parseLine(first))
  if (!found.success) throw refusal(path, 'it is not a checkpoint of a search')
  const { version: written } = found.data
  if (written !== version())
    throw refusal(
      path,
      `${written === undefined ? 'a release that did not say which it is' : `shardloom ${singleLine(written.slice(0, 40))}`} wrote it, and this is ${version()}, which may estimate otherwise`,
      'Give a new file to --checkpoint, or go on with the release that wrote this one. Nothing was written.',
    )
  const { asked } = found.data
  if (found.data.question !== questionHash(question)) {
    const difference = asked === undefined ? '' : questionDifference(asked, question)
    throw refusal(path, `it has the answers of another question${difference === '' ? '' : `: ${difference}`}`)
  }
  const answers = new Map<number, Answer>()
  for (const [index, line] of lines.entries()) {
    if (line === '') continue
    const { success, data, error } = answeredPartSchema.safeParse(parseLine(line))
    if (!success) throw refusal(path, `line ${index + 2} is damaged (${firstIssue(error)})`)
    if (data.part >= question.parts)
      throw refusal(path, `line ${index + 2} is of part ${data.part}, and the question has ${question.parts}`)
    if (!answers.has(data.part)) answers.set(data.part, data.answer)
  }
  return answers
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

function refusal(
  path: string,
  reason: string,
  help = 'Give a new file to --checkpoint, or the question that this one is of. Nothing was written.',
): ShardloomError {
  return new ShardloomError('CHECKPOINT', `Cannot go on from ${path}: ${reason}.`, {
    subject: path,
    help,
  })
}
