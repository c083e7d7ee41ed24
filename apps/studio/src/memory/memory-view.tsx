import { useMemo } from 'react'
import { themes } from 'shardloom'
import { FailureText } from '../shell/failure.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { desks } from '../worker/desk.js'
import { Memory } from './memory.jsx'

/** What the simulated step of the plan holds in memory. */
export function MemoryView() {
  const { source, theme } = useStudio()
  const { answer, failure } = useJob(desks.time, 'memory', source)
  const steps = useMemo(() => answer && [answer], [answer])
  if (!steps) return failure ? <FailureText failure={failure} /> : null
  return <Memory steps={steps} theme={themes[theme]} />
}
