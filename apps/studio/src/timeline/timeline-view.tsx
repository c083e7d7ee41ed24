import { useMemo } from 'react'
import { themes } from 'shardloom'
import { FailureText } from '../shell/failure.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { useSelection } from '../shell/use-selection.js'
import { desks } from '../worker/desk.js'
import { Timeline } from './timeline.jsx'

/** The simulated step of the plan in time. */
export function TimelineView() {
  const { source, theme, variant } = useStudio()
  const [node, select] = useSelection()
  const { answer, failure } = useJob(desks.time, 'timeline', source)
  const panels = useMemo(() => answer && [{ ...answer, name: variant.name }], [answer, variant.name])
  if (!panels) return failure ? <FailureText failure={failure} /> : null
  return <Timeline panels={panels} theme={themes[theme]} node={node} onSelectNode={select} />
}
