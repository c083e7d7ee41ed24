import { useMemo } from 'react'
import { themes } from 'shardloom'
import { Pictured } from '../shell/pictured.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { desks } from '../worker/desk.js'
import { Memory } from './memory.jsx'

/** What the simulated step of the plan holds in memory. */
export function MemoryView() {
  const { source, theme } = useStudio()
  const memory = useJob(desks.time, 'memory', source)
  const { answer } = memory
  const steps = useMemo(() => answer && [answer], [answer])
  return <Pictured job={memory}>{steps && <Memory steps={steps} theme={themes[theme]} />}</Pictured>
}
