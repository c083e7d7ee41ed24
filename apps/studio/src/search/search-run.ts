import type { Answer, Question } from 'shardloom/search'
import { createDesk, type Desk, Dropped, JobError } from '../worker/desk.js'
import type { Failure, Progress } from '../worker/protocol.js'
import type { FailedPart, Found } from './jobs.js'
import type { SearchState } from './state.js'

/** What a search is of. */
export interface SearchSubject {
  /** The name of the plan. */
  readonly name: string
  readonly text: string
  readonly asked: SearchState
}

/** A search that runs or has run. */
export interface SearchRun extends SearchSubject {
  readonly stage: 'reading' | 'searching' | 'simulating' | 'ended' | 'stopped' | 'failed'
  readonly workers: number
  readonly parts: { readonly ended: number; readonly of: number }
  /** Of the stage that it is at, from 0 to 1. */
  readonly share: number
  /** Candidates of the parts that have ended. */
  readonly candidates: number
  /** When it began, in milliseconds of `performance.now`, and when its parts had ended. */
  readonly begun: number
  readonly searched?: number
  /** The objective of the best so far, in words. */
  readonly best?: string
  readonly found?: Found
  /** Why there is no answer. */
  readonly failure?: Failure
  /** Parts that have none, where others have one. */
  readonly failed: readonly FailedPart[]
}

/** The most workers that search at the same time: each keeps what it finds out of the model. */
const mostWorkers = 8

/** Workers for a search: as many as the machine has cores. */
export const searchWorkers = Math.max(1, Math.min(mostWorkers, navigator.hardwareConcurrency || 1))

const searchDesks: Desk[] = []
const listeners = new Set<() => void>()
let run: SearchRun | undefined

function set(change: Partial<SearchRun>): void {
  if (run) run = { ...run, ...change }
  for (const listener of listeners) listener()
}

/** The search of this page; it goes on while another view is looked at. */
export const searching = {
  run: () => run,
  subscribe: (listener: () => void) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  },
  /** Searches, in place of what was searched before. */
  start: (subject: SearchSubject, workers = searchWorkers) => {
    for (const desk of searchDesks) if (desk.since() !== undefined) desk.stop()
    while (searchDesks.length < workers) searchDesks.push(createDesk('search'))
    run = {
      ...subject,
      stage: 'reading',
      workers,
      parts: { ended: 0, of: 0 },
      share: 0,
      candidates: 0,
      begun: performance.now(),
      failed: [],
    }
    set({})
    void search(searchDesks.slice(0, workers), run.begun)
  },
  /** Ends what is being worked on; what was found so far is told. */
  stop: () => {
    for (const desk of searchDesks) desk.stop()
  },
}

/** Runs the search that began at a moment, unless another has begun since. */
async function search(desks: readonly Desk[], begun: number): Promise<void> {
  const mine = () => run?.begun === begun
  const [first] = desks
  if (!first || !run) return
  const { text, asked } = run
  try {
    const { question, wide } = await first.ask('searchQuestion', { text, asked })
    if (!mine()) return
    const { answers, failed, stopped } = await answerParts(desks, question, mine)
    if (!mine()) return
    set({ failed, searched: performance.now() })
    const [one] = failed
    if (answers.length === 0) {
      if (one) set({ stage: 'failed', failure: one.failure })
      else set({ stage: 'stopped' })
      return
    }
    const request = { question, wide, answers }
    set({ stage: 'simulating', share: 0 })
    const told = (simulate: boolean) =>
      first.ask(
        'searchFound',
        { ...request, simulate },
        ({ done, of }) => mine() && set({ share: shareOf({ done, of }) }),
      )
    const found = stopped ? undefined : await told(true).catch(unlessDropped)
    if (!mine()) return
    if (found) set({ stage: 'ended', found })
    // Whoever does not wait for the simulation has the estimates.
    else set({ found: await told(false), stage: 'stopped' })
  } catch (error) {
    if (!mine()) return
    if (error instanceof Dropped) set({ stage: 'stopped' })
    else set({ stage: 'failed', failure: failureOf(error) })
  }
}

function unlessDropped(error: unknown): undefined {
  if (!(error instanceof Dropped)) throw error
}

const failureOf = (error: unknown): Failure =>
  error instanceof JobError ? error.failure : { code: 'INTERNAL', message: String(error) }

const shareOf = ({ done, of }: Progress) => (of > 0 ? Math.min(1, done / of) : 0)

/** Has the parts of a question answered, each by whoever is free next. */
async function answerParts(desks: readonly Desk[], question: Question, mine: () => boolean) {
  const answers = new Map<number, Answer>()
  const shares = new Map<number, number>()
  const failed: FailedPart[] = []
  let [next, stopped] = [0, false]
  let best: { readonly score: number; readonly text: string } | undefined
  const tell = () => {
    if (!mine()) return
    const whole = [...shares.values()].reduce((sum, share) => sum + share, 0)
    set({
      stage: 'searching',
      parts: { ended: answers.size + failed.length, of: question.parts },
      share: whole / question.parts,
      candidates: [...answers.values()].reduce((sum, { counts }) => sum + counts.total, 0),
      ...(best && { best: best.text }),
    })
  }
  const work = async (desk: Desk) => {
    while (next < question.parts && !stopped && mine()) {
      const part = next++
      try {
        const found = await desk.ask('searchPart', { question, part }, (progress) => {
          shares.set(part, shareOf(progress))
          tell()
        })
        answers.set(part, found.answer)
        if (found.best && (!best || found.best.score < best.score)) best = found.best
      } catch (error) {
        if (error instanceof Dropped) stopped = true
        else failed.push({ part, failure: failureOf(error) })
      }
      shares.set(part, 1)
      tell()
    }
  }
  tell()
  await Promise.all(desks.map(work))
  // In the order of the parts, whoever was faster.
  const inOrder = [...answers].sort(([a], [b]) => a - b).map(([, answer]) => answer)
  return { answers: inOrder, failed: failed.sort((a, b) => a.part - b.part), stopped }
}
