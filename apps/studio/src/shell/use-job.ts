import { useEffect, useMemo, useRef, useState } from 'react'
import { type Desk, Dropped, JobError } from '../worker/desk.js'
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

/** Asks a desk for whatever is requested now; undefined asks for nothing. Requests are compared by what they hold. */
export function useJob<Name extends JobName>(
  desk: Desk,
  job: Name,
  request: Jobs[Name]['request'] | undefined,
): JobState<Jobs[Name]['answer']> {
  type Answer = Jobs[Name]['answer']
  const [state, setState] = useState<{ readonly answer?: Answer; readonly of?: string; readonly failure?: Failure }>({})
  const [progress, setProgress] = useState<Progress>()
  const [turn, setTurn] = useState(0)
  const key = useMemo(() => (request === undefined ? undefined : JSON.stringify(request)), [request])
  const asked = useRef(request)
  asked.current = request
  // biome-ignore lint/correctness/useExhaustiveDependencies: a turn is a wish to ask once more
  useEffect(() => {
    if (key === undefined || asked.current === undefined) return
    let live = true
    setProgress(undefined)
    desk
      .ask(job, asked.current, (each) => live && setProgress(each))
      .then(
        (answer) => live && setState({ answer, of: key }),
        (error: unknown) => {
          if (!live || error instanceof Dropped) return
          const failure = error instanceof JobError ? error.failure : { code: 'INTERNAL', message: String(error) }
          setState(({ answer, of }) => ({
            ...(answer !== undefined && { answer }),
            ...(of !== undefined && { of }),
            failure,
          }))
        },
      )
    return () => {
      live = false
    }
  }, [desk, job, key, turn])
  return {
    ...state,
    ...(progress && { progress }),
    stale: state.of !== key,
    again: () => setTurn((count) => count + 1),
  }
}
