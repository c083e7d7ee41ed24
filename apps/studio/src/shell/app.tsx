import { useCallback, useEffect, useMemo, useReducer, useRef, useState } from 'react'
import { graphRequest } from '../graph/graph-request.js'
import type { DrawnGraph } from '../graph/placed.js'
import { readFragment, writeFragment } from '../state/fragment.js'
import { type Action, firstHistory, step } from '../state/history.js'
import { activeVariant } from '../state/studio-state.js'
import { desks } from '../worker/desk.js'
import type { Failure } from '../worker/protocol.js'
import { Sentence } from './failure.jsx'
import { Panes } from './panes.jsx'
import { ProgressLine } from './progress.jsx'
import { Strip } from './strip.jsx'
import { type Studio, StudioContext } from './studio.js'
import { TakeConfig } from './take-config.jsx'
import { TopBar } from './top-bar.jsx'
import { useJob } from './use-job.js'
import { useTheme } from './use-theme.js'

/** Milliseconds of quiet after which a change is planned, and goes into the address. */
const quiet = 200

/** The whole page. */
export function App() {
  const [history, change] = useReducer(step, firstHistory)
  const titles = useRef<ReadonlyMap<string, string>>(new Map())
  const dispatch = useCallback(
    (action: Action) => change(action.type === 'edit' ? { titles: titles.current, ...action } : action),
    [],
  )
  const [refused, setRefused] = useState<Failure>()
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
  const failure = planned.failure && planned.stale ? planned.failure : undefined

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
    }),
    [state, variant, history, planned, graph, inspected, source, schedules, theme, catalogue, failure, dispatch],
  )
  return (
    <StudioContext value={studio}>
      <TopBar onTheme={toggleTheme} onFailure={setRefused} />
      <ProgressLine />
      {refused && (
        <div className="banner" role="alert">
          <span>
            <Sentence text={refused.message} /> {refused.help && <Sentence text={refused.help} className="help" />}
          </span>
          <button type="button" onClick={() => setRefused(undefined)}>
            Dismiss
          </button>
        </div>
      )}
      <TakeConfig />
      <Panes />
      <Strip />
    </StudioContext>
  )
}

/** The text once nobody has typed for a moment; what a slider sets is taken at once. */
function useSettled(text: string | undefined, group: string): string | undefined {
  const [settled, setSettled] = useState(text)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), group === 'typing' ? quiet * 2 : 30)
    return () => clearTimeout(timer)
  }, [text, group])
  return settled
}

/**
 * Keeps the address and the state in step: a link that is opened becomes the state, or says why it cannot. Returns whether the link that the
 * page came with has been read: until then nothing is planned that would be dropped at once.
 */
function useLink(
  state: Studio['state'],
  dispatch: Studio['dispatch'],
  onFailure: (failure: Failure | undefined) => void,
): boolean {
  const [opened, setOpened] = useState(() => location.hash.length <= 1)
  const written = useRef<string>('')
  const read = useRef(false)
  /** The state beside which a link was refused: until it changes, the address stays as it was given. */
  const beside = useRef<Studio['state']>(undefined)
  const latest = useRef(state)
  latest.current = state
  useEffect(() => {
    const open = async () => {
      const fragment = location.hash.slice(1)
      if (fragment !== '' && fragment !== written.current) {
        try {
          dispatch({ type: 'open', state: await readFragment(fragment) })
          onFailure(undefined)
        } catch (error) {
          beside.current = latest.current
          const why = error instanceof Error ? error.message : String(error)
          onFailure({
            code: 'LINK',
            message: `This link holds no plan: ${why}.`,
            help: 'Copy the whole link once more. What was open before stays open.',
          })
        }
      }
      read.current = true
      setOpened(true)
    }
    void open()
    addEventListener('hashchange', open)
    return () => removeEventListener('hashchange', open)
  }, [dispatch, onFailure])
  useEffect(() => {
    const timer = setTimeout(async () => {
      if (!read.current || state === beside.current) return
      written.current = await writeFragment(state)
      if (location.hash.slice(1) !== written.current) window.history.replaceState(null, '', `#${written.current}`)
    }, quiet)
    return () => clearTimeout(timer)
  }, [state])
  return opened
}
