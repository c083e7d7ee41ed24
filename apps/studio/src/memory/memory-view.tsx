import { useMemo } from 'react'
import { themes } from 'shardloom'
import { FailureText } from '../shell/failure.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { useSelection } from '../shell/use-selection.js'
import { desks } from '../worker/desk.js'
import { Memory } from './memory.jsx'

/** What the simulated step of the plan holds in memory. */
export function MemoryView() {
  const { source, theme } = useStudio()
  const [node, select] = useSelection()
  const { answer, failure } = useJob(desks.time, 'memory', source)
  const timeline = useJob(desks.time, 'timeline', source)
  const steps = useMemo(() => answer && [answer], [answer])
  if (!steps) return failure ? <FailureText failure={failure} /> : null
  return (
    <Memory
      steps={steps}
      timeline={timeline.stale ? undefined : timeline.answer}
      theme={themes[theme]}
      node={node}
      onSelectNode={select}
      everywhere
    />
  )
}
