import { useEffect, useMemo, useRef, useState } from 'react'
import { type Desk, Dropped, JobError, Stopped } from '../worker/desk.js'
import type { Failure, JobName, Jobs, Progress } from '../worker/protocol.js'

/** What came of a job that follows what is on the page. */
export interface JobState<Answer> {
  /** The last good answer: it stays while a newer one is made, and where none can be. */
  readonly answer?: Answer
  /** Why the newest request has no answer. */
  readonly failure?: Failure
  /** Whether the answer is of an older request. */
  readonly stale: boolean
  /** How far the newest request is, where its worker says so. */
  readonly progress?: Progress
  /** Asks once more, where it was stopped. */
  readonly again: () => void
}

/** How jobs that were stopped, and whose answers are still waited for, are asked for once more. */
const stopped = new Set<() => void>()

/** Asks for all that was stopped once more. */
export function goOn(): void {
  for (const again of [...stopped]) again()
}

/** Asks a desk for whatever is requested now; undefined asks for nothing. Requests are compared by what they hold. */
export function useJob<Name extends JobName>(
  desk: Desk,
  job: Name,
  request: Jobs[Name]['request'] | undefined,
): JobState<Jobs[Name]['answer']> {
  type Answer = Jobs[Name]['answer']
  const [{ answer, of, failed }, setState] = useState<{
    readonly answer?: Answer
    readonly of?: string
    readonly failed?: { readonly failure: Failure; readonly of: string }
  }>({})
  const [progress, setProgress] = useState<Progress>()
  const [turn, setTurn] = useState(0)
  const key = useMemo(() => (request === undefined ? undefined : JSON.stringify(request)), [request])
  const asked = useRef(request)
  asked.current = request
  // biome-ignore lint/correctness/useExhaustiveDependencies: a turn is a wish to ask once more
  useEffect(() => {
    if (key === undefined || asked.current === undefined) return
    let live = true
    const again = () => {
      setState(({ failed: _, ...before }) => before)
      setTurn((count) => count + 1)
    }
    setProgress(undefined)
    desk
      .ask(job, asked.current, (each) => live && setProgress(each))
      .then(
        (answer) => live && setState({ answer, of: key }),
        (error: unknown) => {
          if (!live || (error instanceof Dropped && !(error instanceof Stopped))) return
          if (error instanceof Stopped) stopped.add(again)
          const failure = failureOf(error)
          setState(({ answer, of }) => ({
            ...(answer !== undefined && { answer }),
            ...(of !== undefined && { of }),
            failed: { failure, of: key },
          }))
        },
      )
    return () => {
      live = false
      stopped.delete(again)
    }
  }, [desk, job, key, turn])
  return {
    ...(answer !== undefined && { answer }),
    ...(failed && failed.of === key && { failure: failed.failure }),
    ...(progress && { progress }),
    stale: of !== key,
    again: () => setTurn((count) => count + 1),
  }
}

/** What was stopped says so: what stands on the page is then of an older request. */
function failureOf(error: unknown): Failure {
  if (error instanceof JobError) return error.failure
  if (!(error instanceof Stopped)) return { code: 'INTERNAL', message: String(error) }
  return {
    code: 'STOPPED',
    message: 'The work on this plan was stopped.',
    help: 'What is shown is the last that was ready.',
  }
}
