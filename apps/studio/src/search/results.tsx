import { formatCount } from 'shardloom'
import { useStudio } from '../shell/studio.js'
import { useNarrow } from '../shell/use-narrow.js'
import { FrontChart } from './front-chart.jsx'
import type { Found, FoundPoint } from './jobs.js'
import { metricWords } from './metric-words.js'
import { useOpenPoint } from './open-point.js'
import type { SearchRun } from './search-run.js'

/** What a search came to: the best, what else nothing beats, and what keeps the others out. */
export function Results({ run, found }: { readonly run: SearchRun; readonly found: Found }) {
  const { state, dispatch } = useStudio()
  const [open, said] = useOpenPoint(run.name)
  const isOpen = ({ text }: FoundPoint) => state.variants[state.active]?.text === text
  const { rows, front, misses, rejected, total, evaluated, bounded } = found
  return (
    <>
      <p className="opened" role="status">
        {said}
        {said && (
          <>
            {' '}
            <button type="button" onClick={() => dispatch({ type: 'look', change: { view: 'graph' } })}>
              See its graph
            </button>{' '}
            {state.variants.length > 1 && (
              <button type="button" onClick={() => dispatch({ type: 'look', change: { view: 'compare' } })}>
                Compare
              </button>
            )}
          </>
        )}
      </p>
      {rows.length > 0 && <BestTable run={run} found={found} open={open} isOpen={isOpen} />}
      {front && <FrontChart front={front} open={open} isOpen={isOpen} />}
      <section className="fallen">
        <h2>What became of all {formatCount(total)}</h2>
        {total === 0 ? (
          <p>
            No degrees multiply to these ranks and divide the batch and the layers. Give other ranks, or let more be
            chosen.
          </p>
        ) : (
          <ul>
            <Share count={evaluated} total={total} name="evaluated" />
            <Share count={bounded} total={total} name="no better by their bounds" />
            {rejected.map(({ rule, count }) => (
              <Share key={rule} count={count} total={total} name={`fell to ${rule}`} />
            ))}
          </ul>
        )}
      </section>
      {misses.length > 0 && (
        <section className="misses">
          <h2>
            {rows.length === 0
              ? 'Nothing fits. What misses by least'
              : 'Near misses, which by their estimates would be among the best'}
          </h2>
          <ul>
            {misses.map((miss) => (
              <li key={miss.rule}>
                <p>
                  <b>{miss.rule}</b> by {miss.by}
                </p>
                <p className="id">{miss.name}</p>
                {miss.fixes.length === 0 && (
                  <p className="note">No single change {rows.length === 0 ? 'helps' : 'makes it one of the best'}.</p>
                )}
                {miss.fixes.map((fix) => (
                  <button
                    key={fix.change}
                    type="button"
                    onClick={() => open(fix)}
                    title="Opens it as a plan of its own"
                  >
                    {fix.fits} <b>{fix.change}</b>
                    {fix.isOutside && ' (not among the choices)'}
                    {fix.value && `: ${fix.value}`}
                  </button>
                ))}
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  )
}

interface TableProps {
  readonly run: SearchRun
  readonly found: Found
  readonly open: (point: FoundPoint) => void
  readonly isOpen: (point: FoundPoint) => boolean
}

function BestTable({ run, found, open, isOpen }: TableProps) {
  const { rows, columns, objective } = found
  const narrow = useNarrow()
  const most = objective.better === 'more' ? 'most' : 'least'
  return (
    <section>
      <h2>
        {most} {metricWords(objective.name)}
        {run.stage === 'stopped' ? ', as estimated' : ', as simulated'}
      </h2>
      <div className="table-frame">
        <table className="best paired">
          <thead>
            <tr>
              <th scope="col">#</th>
              {columns.map((name) => (
                <th key={name} scope="col" className="number">
                  {name}
                </th>
              ))}
              <th
                scope="col"
                className="number"
                title={`How ${metricWords(objective.name)} differs from that of the best; a tie is within what it is good for`}
              >
                to best
              </th>
              {!narrow && (
                <th scope="col" className="number" title="How the estimate of the search differs from the simulation">
                  estimate
                </th>
              )}
            </tr>
          </thead>
          {rows.map((row, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: rows of one search never move
            <tbody key={at} className={isOpen(row) ? 'open' : ''}>
              <tr>
                <td className="number">{at + 1}</td>
                {row.values.map((value, column) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: a value for each column
                  <td key={column} className="number">
                    {value}
                  </td>
                ))}
                <td className="number">
                  {row.toBest} {row.tie && <span className="tie">tie</span>}
                </td>
                {!narrow && <td className="number">{row.estimate}</td>}
              </tr>
              <tr>
                <td />
                <th scope="row" colSpan={columns.length + (narrow ? 0 : 1)}>
                  {row.name.split(/\s\s+/).map((choice) => (
                    <span key={choice}>{choice} </span>
                  ))}
                  {narrow && <em>estimate {row.estimate}</em>}
                  {row.faults.map((fault) => (
                    <em key={fault}>{fault}</em>
                  ))}
                </th>
                <td className="number">
                  <button type="button" onClick={() => open(row)} aria-label={`Open number ${at + 1}: ${row.name}`}>
                    {isOpen(row) ? 'Opened' : 'Open'}
                  </button>
                </td>
              </tr>
            </tbody>
          ))}
        </table>
      </div>
    </section>
  )
}

/** A count and how much of all it is, as a bar beside it. */
function Share({ count, total, name }: { readonly count: number; readonly total: number; readonly name: string }) {
  return (
    <li>
      <span className="number">{formatCount(count)}</span>
      <meter min={0} max={total} value={count} aria-label={`${name}: ${count} of ${total}`} />
      <span>{name}</span>
    </li>
  )
}
