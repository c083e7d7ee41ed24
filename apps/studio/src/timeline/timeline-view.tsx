import { useMemo, useState } from 'react'
import { formatDifference, themes } from 'shardloom'
import { FailureText } from '../shell/failure.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { useSelection } from '../shell/use-selection.js'
import { desks } from '../worker/desk.js'
import type { ScheduledStep } from '../worker/protocol.js'
import { SchedulePicker } from './schedule-picker.jsx'
import { Timeline } from './timeline.jsx'
import { useSchedules } from './use-schedules.js'

/** The simulated step of the plan in time, and above the same axis the steps of the same spec by other schedules. */
export function TimelineView() {
  const { source, theme, variant, planned } = useStudio()
  const [node, select] = useSelection()
  const [others, setOthers] = useState<readonly string[]>([])
  const { answer, failure } = useJob(desks.time, 'timeline', source)
  const own = String(planned.answer?.values['options.schedule'] ?? '')
  const names = useMemo(() => others.filter((name) => name !== own), [others, own])
  const shown = useSchedules(source, names)
  const panels = useMemo(
    () => answer && [{ ...answer, name: variant.name }, ...shown.flatMap((step) => panelOf(step, answer.end))],
    [answer, variant.name, shown],
  )
  if (!panels) return failure ? <FailureText failure={failure} /> : null
  const pipelined = Object.keys(planned.answer?.summary.mesh ?? {}).includes('pp')
  return (
    <Timeline panels={panels} theme={themes[theme]} node={node} onSelectNode={select}>
      {pipelined && own !== '' && <SchedulePicker own={own} chosen={names} steps={shown} onChange={setOthers} />}
    </Timeline>
  )
}

/** The timeline of a schedule, with how much longer or shorter its step is. */
function panelOf(step: ScheduledStep, end: number) {
  if (!('data' in step)) return []
  const { data } = step
  const relative = data.end / end - 1
  const words = Math.abs(relative) < 0.0005 ? 'the same step time' : `${formatDifference(relative)} step time`
  return [{ ...data, fact: `${data.fact} · ${words}` }]
}
