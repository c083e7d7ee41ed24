import type { ReactNode } from 'react'
import { FailureText } from './failure.jsx'
import type { JobState } from './use-job.js'

interface PicturedProps {
  /** What the picture is made of. */
  readonly job: Pick<JobState<unknown>, 'failure' | 'stale'>
  /** The newest picture that there is, if any. */
  readonly children: ReactNode
}

/** A picture, and above one that is older than what was asked for why there is no newer; until there is one, a word that it is being made. */
export function Pictured({ job: { failure, stale }, children }: PicturedProps) {
  return (
    <div className="pictured">
      {failure && stale ? <FailureText failure={failure} /> : !children && <p className="awaited">Simulating …</p>}
      {children}
    </div>
  )
}
