import { useRef } from 'react'
import type { Planned } from '../worker/protocol.js'
import type { JobState } from './use-job.js'

/** What is known of one plan, and never of two. */
export interface Together<Answer> {
  readonly plan?: Planned
  readonly answer?: Answer
  /** Whether it is of an older plan than the one that is asked for. */
  readonly old: boolean
}

/** A plan and what was made of it, of one text: until both are there for the newest, those of the last that had both. */
export function useTogether<Answer>(planned: JobState<Planned>, made: JobState<Answer>): Together<Answer> {
  const last = useRef<Pick<Together<Answer>, 'plan' | 'answer'>>(undefined)
  const { answer: plan } = planned
  const current = !planned.stale && !made.stale
  if (current && plan && made.answer !== undefined) last.current = { plan, answer: made.answer }
  if (last.current) return { ...last.current, old: !current }
  return { ...(plan && { plan }), old: planned.stale }
}
