import { useEffect, useState, useSyncExternalStore } from 'react'
import { formatCount, formatQuantity, formatSeconds } from 'shardloom'
import { FailureText } from '../shell/failure.jsx'
import { fileName } from '../shell/save.js'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { desks } from '../worker/desk.js'
import { CopyText } from './copy-text.jsx'
import { QuestionForm } from './question-form.jsx'
import { Results } from './results.jsx'
import { type SearchRun, searching, searchWorkers } from './search-run.js'
import { emptySearch, searchCommand } from './state.js'

/** What to use of all that could be: a search over the spec that is open. */
export function SearchView() {
  const { state, text, variant, dispatch, failure } = useStudio()
  const asked = state.search
  const { ranks } = asked
  const space = useJob(
    desks.space,
    'searchSpace',
    text === undefined ? undefined : { text, ...(ranks !== undefined && { ranks }) },
  )
  const run = useSyncExternalStore(searching.subscribe, searching.run)
  const busy = run !== undefined && ['reading', 'searching', 'simulating'].includes(run.stage)
  const ready = text !== undefined && failure === undefined
  const start = () => ready && searching.start({ name: variant.name, text, asked })
  return (
    <div className="search-view">
      <form
        className="question"
        onSubmit={(event) => {
          event.preventDefault()
          if (!busy) start()
        }}
        onKeyDown={(event) => {
          if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || event.repeat) return
          event.preventDefault()
          event.currentTarget.requestSubmit()
        }}
      >
        <QuestionForm
          asked={asked}
          space={space.answer}
          onChange={(search) => dispatch({ type: 'look', change: { search } })}
        >
          <div className="actions">
            {/* One button, which keeps the focus; a key that is held down, or a second click, does not stop what the first began. */}
            <button
              type={busy ? 'button' : 'submit'}
              className="primary"
              disabled={!busy && !ready}
              onKeyDown={(event) => event.repeat && event.preventDefault()}
              onClick={(event) => {
                if (!busy) return
                event.preventDefault()
                if (event.detail < 2) searching.stop()
              }}
            >
              {busy ? 'Stop' : run ? 'Search anew' : 'Search'}
            </button>
            {asked !== emptySearch && (
              <button
                type="button"
                className="quiet"
                onClick={() => dispatch({ type: 'look', change: { search: emptySearch } })}
              >
                Reset
              </button>
            )}
            <span className="note">
              {searchWorkers === 1 ? 'in one worker' : `in ${searchWorkers} workers`} of this page, nothing leaves it
            </span>
          </div>
        </QuestionForm>
        {space.failure && space.stale && <FailureText failure={space.failure} />}
        <CopyText
          label="The same in a terminal, with the spec that Export saves"
          text={searchCommand(`${fileName(variant.name)}.yaml`, asked)}
        />
      </form>
      {run && <RunState run={run} busy={busy} />}
      {run?.failure && <FailureText failure={run.failure} />}
      {run?.found && <Results run={run} found={run.found} />}
    </div>
  )
}

/** How far a search is: how much was seen, how fast, and how long the rest takes. */
function RunState({ run, busy }: { readonly run: SearchRun; readonly busy: boolean }) {
  const [now, setNow] = useState(performance.now())
  useEffect(() => {
    if (!busy) return
    const timer = setInterval(() => setNow(performance.now()), 250)
    return () => clearInterval(timer)
  }, [busy])
  const { stage, parts, candidates, share, begun, searched, best, failed, name } = run
  const seconds = Math.max(0.001, ((searched ?? Math.max(now, begun)) - begun) / 1000)
  const rate = candidates > 0 ? `, ${formatQuantity(candidates / seconds, '')}/s` : ''
  const left =
    share > 0.02 && share < 1 ? `, about ${formatSeconds(Math.ceil((seconds / share) * (1 - share)))} left` : ''
  const words = {
    reading: 'Reading the spec …',
    searching: `${parts.ended} of ${parts.of} parts in ${formatSeconds(Math.round(seconds))}: ${formatCount(candidates)} candidates${rate}${left}`,
    simulating: `${formatCount(candidates)} candidates in ${formatSeconds(seconds)}${rate}; simulating the best of them`,
    ended: `${formatCount(candidates)} candidates in ${formatSeconds(seconds)}${rate}`,
    stopped:
      candidates > 0
        ? `Stopped after ${parts.ended} of ${parts.of} parts, ${formatCount(candidates)} candidates: below is the best so far`
        : 'Stopped before any part of the search had ended: nothing was found so far. Fewer values to choose from make parts shorter.',
    failed: 'The search has failed.',
  }[stage]
  return (
    <section className="run" aria-label="Progress of the search">
      {busy && <progress max={1} {...(stage !== 'reading' && { value: share })} aria-label="How far the search is" />}
      <p>
        <b>{name || 'unnamed'}</b>
        <span role="status">{words}</span>
        {busy && best && <span>best so far {best}</span>}
      </p>
      {failed.length > 0 && stage !== 'failed' && (
        <p className="note">
          {failed.length} of {parts.of} parts have no answer: {failed[0]?.failure.message}
        </p>
      )}
    </section>
  )
}
