import { formatBytes, formatCount, formatFlops, formatSeconds, type View } from 'shardloom'
import { Sentence } from '../shell/failure.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { desks } from '../worker/desk.js'
import type { Inspected } from '../worker/protocol.js'
import { Explained } from './explained.jsx'
import { Overview } from './overview.jsx'
import { Row } from './row.jsx'

/** The right pane: what is selected, why it is there, what it moves and how long it takes; else what the plan communicates. */
export function Inspector() {
  const { state, source, graph, inspected } = useStudio()
  const { selection } = state
  const found = selection !== undefined && !inspected.stale ? inspected.answer : undefined
  const node = found?.node
  const asked = source !== undefined && found && node !== undefined ? { ...source, node, rank: found.rank } : undefined
  const { answer, stale } = useJob(desks.plan, 'explain', asked)
  const card = graph.answer?.nodes.find(({ id }) => id === selection)
  return (
    <aside className="inspector" aria-label="Inspector">
      {selection === undefined ? (
        <Overview />
      ) : found === null || inspected.failure ? (
        <>
          <h2>{card?.title ?? 'Not in this plan'}</h2>
          <p className="id">{selection}</p>
          <p>{card?.tooltip ?? 'What was selected is not part of this plan. Escape selects nothing.'}</p>
        </>
      ) : found && asked && answer && !stale ? (
        <Explained found={answer} inspected={found} />
      ) : found && !asked ? (
        <Part found={found} card={card} />
      ) : (
        <p className="note">…</p>
      )}
    </aside>
  )
}

interface PartProps {
  readonly found: Inspected
  /** The card of the graph that stands for it, where one does. */
  readonly card: View['nodes'][number] | undefined
}

/** A layer, stage or region, a slice of the timeline, or like communication: what it holds, summed. */
function Part({ found, card }: PartProps) {
  const { dispatch } = useStudio()
  const { title, id, place, from, to, nodes, computing = 0, communicating = 0 } = found
  const isSlice = from !== undefined && to !== undefined
  const prefix = place === undefined ? '' : `${place}/`
  return (
    <>
      <h2>
        {isSlice ? `${title} · ${place}` : (card?.title ?? title)}{' '}
        {card && card.repeat > 1 && <span className="times">×{formatCount(card.repeat)}</span>}
      </h2>
      <p className="id">{isSlice || place === undefined || id === place ? id : `${place} · ${id}`}</p>
      {found.border !== undefined && (
        <p>
          <Sentence text={found.border} />
        </p>
      )}
      <h3>{isSlice ? 'This slice' : 'One rank, one step'}</h3>
      <dl>
        {isSlice && <Row name="takes" value={formatSeconds(to - from)} />}
        {isSlice && <Row name="from" value={formatSeconds(from)} />}
        {found.computing !== undefined && (computing > 0 || communicating === 0) && (
          <Row name="computes for" value={formatSeconds(computing)} />
        )}
        {communicating > 0 && <Row name="communicates for" value={formatSeconds(communicating)} />}
        {found.flops > 0 && <Row name="computes" value={formatFlops(found.flops)} />}
        {found.bytesRead > 0 && <Row name="reads" value={formatBytes(found.bytesRead)} />}
        {found.bytesWritten > 0 && <Row name="writes" value={formatBytes(found.bytesWritten)} />}
        {found.sent > 0 && <Row name="sends" value={formatBytes(found.sent)} />}
        <Row name="holds" value={`${formatCount(nodes)} operators`} />
        <Row name="on" value={`rank ${found.rank} and those alike`} />
      </dl>
      {card && card.chips.length > 0 && (
        <>
          <h3>Communication inside</h3>
          <ul className="chips">
            {card.chips.map((chip) => (
              <li key={chip}>{chip}</li>
            ))}
          </ul>
        </>
      )}
      <h3>{nodes > found.holds.length ? 'What takes longest in it' : 'What it holds'}</h3>
      <ul className="holds">
        {found.holds.map(({ node, kind, runs, seconds }) => (
          <li key={node}>
            <button
              type="button"
              className={kind}
              onClick={() => dispatch({ type: 'look', change: { selection: prefix + node } })}
            >
              <span className="id">{node}</span>
              <span className="fact">
                {formatCount(runs)}×{seconds !== undefined && ` · ${formatSeconds(seconds)}`}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </>
  )
}
