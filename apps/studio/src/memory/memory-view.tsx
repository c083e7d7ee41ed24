import { useMemo } from 'react'
import { themes } from 'shardloom'
import { Pictured } from '../shell/pictured.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { useSelection } from '../shell/use-selection.js'
import { desks } from '../worker/desk.js'
import { Memory } from './memory.jsx'

/** What the simulated step of the plan holds in memory. */
export function MemoryView() {
  const { source, theme } = useStudio()
  const [node, select] = useSelection()
  const memory = useJob(desks.time, 'memory', source)
  const { answer } = memory
  const timeline = useJob(desks.time, 'timeline', source)
  const steps = useMemo(() => answer && [answer], [answer])
  return (
    <Pictured job={memory}>
      {steps && (
        <Memory
          steps={steps}
          timeline={timeline.stale ? undefined : timeline.answer}
          theme={themes[theme]}
          node={node}
          onSelectNode={select}
          everywhere
        />
      )}
    </Pictured>
  )
}
