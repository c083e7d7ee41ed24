import type { ComponentType } from 'react'
import { formatCount } from 'shardloom'
import { CompareView } from '../compare/compare-view.jsx'
import { GraphView } from '../graph/graph-view.jsx'
import { LearnView } from '../learn/learn-view.jsx'
import { MemoryView } from '../memory/memory-view.jsx'
import { SearchView } from '../search/search-view.jsx'
import { pools, type ViewName, viewNames } from '../state/studio-state.js'
import { TimelineView } from '../timeline/timeline-view.jsx'
import { useStudio } from './studio.js'

const titles: Readonly<Record<ViewName, string>> = {
  graph: 'Graph',
  timeline: 'Timeline',
  memory: 'Memory',
  compare: 'Compare',
  search: 'Search',
  learn: 'Learn',
}

const views: Readonly<Record<ViewName, ComponentType>> = {
  graph: GraphView,
  timeline: TimelineView,
  memory: MemoryView,
  compare: CompareView,
  search: SearchView,
  learn: LearnView,
}

/** The pictures of the plan, one at a time. */
export function Views() {
  const { state, dispatch, planned, failure } = useStudio()
  const View = views[state.view]
  return (
    <main className={failure ? 'views stale' : 'views'}>
      <div className="tabs">
        <div role="tablist" aria-label="Views">
          {viewNames.map((name, at) => (
            <button
              key={name}
              type="button"
              role="tab"
              id={`tab-${name}`}
              aria-selected={state.view === name}
              aria-controls="view"
              tabIndex={state.view === name ? 0 : -1}
              title={`${titles[name]} (${at + 1})`}
              onClick={() => dispatch({ type: 'look', change: { view: name } })}
              onKeyDown={({ key }) => {
                const next = viewNames[at + (key === 'ArrowRight' ? 1 : key === 'ArrowLeft' ? -1 : 0)]
                if (!next || next === name) return
                dispatch({ type: 'look', change: { view: next } })
                document.getElementById(`tab-${next}`)?.focus()
              }}
            >
              {titles[name]}
            </button>
          ))}
        </div>
        {planned.answer?.values['phase'] === 'serving' && state.view !== 'search' && (
          <fieldset className="segments pools" title={stepText(planned.answer.summary.batch)}>
            <legend className="hidden">Phase of serving</legend>
            {pools.map((name) => (
              <label key={name}>
                <input
                  type="radio"
                  name="pool"
                  checked={state.pool === name}
                  onChange={() => dispatch({ type: 'look', change: { pool: name } })}
                />
                {name}
              </label>
            ))}
            <span className="note">of {formatCount(planned.answer.summary.batch.sequences)}</span>
          </fieldset>
        )}
        {failure && planned.answer && <span className="stale-mark">last plan that worked</span>}
      </div>
      <section className={`view of-${state.view}`} role="tabpanel" id="view" aria-labelledby={`tab-${state.view}`}>
        <View />
      </section>
    </main>
  )
}

interface Batch {
  readonly sequences: number
  readonly seq: number
}

const sequencesText = ({ sequences }: Batch): string =>
  `${formatCount(sequences)} ${sequences === 1 ? 'sequence' : 'sequences'}`

/** What the step of serving that is looked at is of. */
const stepText = (batch: Batch): string =>
  `The views have one step of ${sequencesText(batch)} of ${formatCount(batch.seq)} tokens; what clients see is below`
