import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from 'react'
import { graphRequest } from '../graph/graph-request.js'
import type { DrawnGraph } from '../graph/placed.js'
import { type Action, firstHistory, step } from '../state/history.js'
import { activeVariant, sizeProblem } from '../state/studio-state.js'
import { desks } from '../worker/desk.js'
import type { Failure } from '../worker/protocol.js'
import { Banner } from './failure.jsx'
import { Panes } from './panes.jsx'
import { ProgressLine } from './progress.jsx'
import { Strip } from './strip.jsx'
import { type Studio, StudioContext } from './studio.js'
import { TakeConfig } from './take-config.jsx'
import { TopBar } from './top-bar.jsx'
import { useJob } from './use-job.js'
import { useLink } from './use-link.js'
import { useTheme } from './use-theme.js'

/** Milliseconds of quiet after which what was typed is planned, and after which any other change is. */
const quiet = { typing: 400, other: 30 }

/** The code of the refusal of a text that is too large, and what to do with one. */
const notTaken = 'TEXT'
const tooLarge = 'Leave out what the plan does not need. What was there before stays.'

/** The whole page. */
export function App() {
  const [history, change] = useReducer(step, firstHistory)
  const titles = useRef<ReadonlyMap<string, string>>(new Map())
  const [refused, setRefused] = useState<Failure>()
  const dispatch = useCallback((action: Action) => {
    if (action.type !== 'edit') return change(action)
    const problem = sizeProblem(action.text)
    if (!problem) {
      setRefused((before) => (before?.code === notTaken ? undefined : before))
      return change({ titles: titles.current, ...action })
    }
    setRefused({ code: notTaken, message: `This was not taken: the spec then ${problem}.`, help: tooLarge })
  }, [])
  const [theme, toggleTheme] = useTheme()
  const [schedules, compareSchedules] = useState<readonly string[]>([])
  const { present: state } = history
  const variant = activeVariant(state)
  const opened = useLink(history.present, dispatch, setRefused)
  const settled = useSettled(opened ? variant.text : undefined, history.group)

  const { answer: catalogue } = useJob(desks.choices, 'catalogue', {})
  useEffect(() => {
    titles.current = new Map(catalogue?.models.map(({ preset = '', name }) => [preset, name]))
  }, [catalogue])
  const { pool } = state
  const planned = useJob(desks.plan, 'plan', settled === undefined ? undefined : { text: settled, pool })
  const good = useRef<string>(undefined)
  if (planned.answer && !planned.stale) good.current = settled
  const unplanned = useRef<Failure>(undefined)
  if (planned.failure || !planned.stale) unplanned.current = planned.failure
  const failure = unplanned.current
  const failureOld = planned.failure === undefined || settled !== variant.text

  const text = good.current
  const source = useMemo(() => (text === undefined ? undefined : { text, pool }), [text, pool])
  const graph = useJob(desks.plan, 'graph', source && graphRequest(source, state.graph))
  const { selection } = state
  const inspected = useJob(
    desks.time,
    'inspect',
    source === undefined || selection === undefined ? undefined : { ...source, id: selection },
  )

  const onScreen = useRef<DrawnGraph>(undefined)
  const studio: Studio = useMemo(
    () => ({
      state,
      variant,
      history,
      dispatch,
      planned,
      schedules,
      compareSchedules,
      theme,
      graph,
      onScreen,
      inspected,
      ...(catalogue && { catalogue }),
      ...(source && { text: source.text, source }),
      ...(failure && { failure }),
      failureOld,
    }),
    [
      state,
      variant,
      history,
      planned,
      graph,
      inspected,
      source,
      schedules,
      theme,
      catalogue,
      failure,
      failureOld,
      dispatch,
    ],
  )
  return (
    <StudioContext value={studio}>
      <TopBar onTheme={toggleTheme} onFailure={setRefused} />
      <ProgressLine />
      <div className="banners">
        {refused && <Banner failure={refused} onDismiss={() => setRefused(undefined)} />}
        <TakeConfig />
      </div>
      <Panes />
      <Strip />
    </StudioContext>
  )
}

/** The text once nobody has typed for a moment; what a slider sets is taken at once. */
function useSettled(text: string | undefined, group: string): string | undefined {
  const [settled, setSettled] = useState(text)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), group === 'typing' ? quiet.typing : quiet.other)
    return () => clearTimeout(timer)
  }, [text, group])
  return settled
}
