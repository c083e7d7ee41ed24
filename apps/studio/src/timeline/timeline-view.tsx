import { useMemo } from 'react'
import { formatDifference, themes } from 'shardloom'
import { sameStep } from '../compare/words.js'
import { Pictured } from '../shell/pictured.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { useNarrow } from '../shell/use-narrow.js'
import { useSelection } from '../shell/use-selection.js'
import { desks } from '../worker/desk.js'
import type { ScheduledStep } from '../worker/protocol.js'
import type { TimelineData } from './data.js'
import { SchedulePicker } from './schedule-picker.jsx'
import { Timeline } from './timeline.jsx'
import { useSchedules } from './use-schedules.js'

/** The simulated step of the plan in time, and above the same axis the steps of the same spec by other schedules. */
export function TimelineView() {
  const { source, theme, variant, planned, schedules, compareSchedules } = useStudio()
  const [node, select] = useSelection()
  const timeline = useJob(desks.time, 'timeline', source)
  const { answer } = timeline
  const narrow = useNarrow()
  const memory = useJob(desks.time, 'memory', narrow ? undefined : source)
  const { phase, pipeline } = planned.answer?.summary ?? {}
  const own = (phase === 'training' && pipeline?.schedule) || ''
  const names = useMemo(() => schedules.filter((name) => name !== own), [schedules, own])
  const shown = useSchedules(source, names)
  const first = useMemo(() => answer && { ...answer, name: variant.name }, [answer, variant.name])
  const panels = useMemo(() => first && [first, ...shown.flatMap((step) => panelOf(step, first))], [first, shown])
  const pipelined = Object.keys(planned.answer?.summary.mesh ?? {}).includes('pp')
  return (
    <Pictured job={timeline}>
      {panels && (
        <Timeline
          panels={panels}
          theme={themes[theme]}
          node={node}
          onSelectNode={select}
          memory={narrow || panels.length > 1 || memory.stale ? undefined : memory.answer}
        >
          {pipelined && own !== '' && (
            <SchedulePicker own={own} chosen={names} steps={shown} onChange={compareSchedules} />
          )}
        </Timeline>
      )}
    </Pictured>
  )
}

/** The timeline of a schedule, with how much longer or shorter its step is, where that is more than the model errs by. */
function panelOf(step: ScheduledStep, own: TimelineData) {
  if (!('data' in step)) return []
  const { data } = step
  const relative = data.end / own.end - 1
  const error = Math.max(data.error ?? 0, own.error ?? 0)
  const words =
    relative === 0
      ? 'the same step time'
      : Math.abs(relative) <= error
        ? sameStep(error)
        : `${formatDifference(relative)} step time`
  return [{ ...data, fact: `${data.fact} · ${words}` }]
}
