import { formatBytes, formatCount, formatFlops, formatSeconds } from 'shardloom'
import { Sentence } from '../shell/failure.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { desks } from '../worker/desk.js'
import { GroupPicture } from './group-picture.jsx'
import { Overview } from './overview.jsx'

/** The right pane: what is selected, why it is there, what it moves and how long it takes; else what the plan communicates. */
export function Inspector() {
  const { state, source, graph, planned } = useStudio()
  const { selection } = state
  const node = graph.answer?.nodes.find(({ id }) => id === selection)
  const frame = graph.answer?.clusters.find(({ id }) => graph.answer?.closes[id] === selection)
  const isCard = node !== undefined && (graph.answer?.expandable.includes(node.id) || node.chips.length > 0)
  const asked =
    source !== undefined && selection !== undefined && !isCard && !frame ? { ...source, node: selection } : undefined
  const { answer, failure, stale } = useJob(desks.plan, 'explain', asked)
  const hasTimes = planned.answer?.values['cluster'] !== undefined
  const { answer: seconds, stale: untimed } = useJob(desks.time, 'nodeSeconds', hasTimes ? asked : undefined)
  const found = asked && answer && !stale ? answer : undefined
  return (
    <aside className="inspector" aria-label="Inspector">
      {selection === undefined ? (
        <Overview />
      ) : frame ? (
        <>
          <h2>{frame.title}</h2>
          <p className="id">{selection}</p>
          <dl>
            {frame.fact && <Row name="once" value={frame.fact} />}
            {frame.repeat > 1 && <Row name="runs" value={`${formatCount(frame.repeat)} times`} />}
          </dl>
        </>
      ) : isCard && node ? (
        <>
          <h2>{node.title}</h2>
          <p className="id">{node.id}</p>
          <p>{node.tooltip.replace(`${node.id}: `, '')}</p>
          <dl>
            {node.facts.map((fact) => (
              <Row key={fact} name="once" value={fact} />
            ))}
            {node.repeat > 1 && <Row name="runs" value={`${formatCount(node.repeat)} times`} />}
          </dl>
          {node.chips.length > 0 && (
            <>
              <h3>Communication inside</h3>
              <ul className="chips">
                {node.chips.map((chip) => (
                  <li key={chip}>{chip}</li>
                ))}
              </ul>
            </>
          )}
          <p className="note">Enter opens it.</p>
        </>
      ) : found ? (
        <>
          <h2>
            {found.op} <span className={`kind ${found.kind}`}>{found.kind}</span>
          </h2>
          <p className="id">{found.node}</p>
          <h3>Why</h3>
          {found.text.map((sentence) => (
            <p key={sentence}>
              <Sentence text={sentence} />
            </p>
          ))}
          <dl>
            {found.communication && (
              <>
                <Row name="from" value={found.communication.from} />
                <Row name="to" value={found.communication.to} />
                <Row name="tensor" value={formatBytes(found.communication.payloadBytes)} />
                <Row name="this rank sends" value={formatBytes(found.communication.bytesPerRank)} />
                <Row name="over" value={found.communication.axes.join(', ')} />
              </>
            )}
            {found.flops > 0 && <Row name="computes" value={formatFlops(found.flops)} />}
            {!found.communication && <Row name="reads" value={formatBytes(found.bytesRead)} />}
            {!found.communication && <Row name="writes" value={formatBytes(found.bytesWritten)} />}
            <Row name="runs in a step" value={`${formatCount(found.executions)} times`} />
            {typeof seconds === 'number' && !untimed && <Row name="takes in a step" value={formatSeconds(seconds)} />}
          </dl>
          {found.communication && planned.answer && (
            <GroupPicture
              world={planned.answer.summary.world}
              group={found.communication.group}
              size={found.communication.groupSize}
            />
          )}
          <h3>Tensors</h3>
          <ul className="tensors">
            {[
              ...found.inputs.map((each) => ['in', each] as const),
              ...found.outputs.map((each) => ['out', each] as const),
            ].map(([way, { tensor, dims, localShape, dtype, placement, bytes }], at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a tensor may be read twice
              <li key={at}>
                <span className="way">{way}</span> <span className="id">{tensor}</span>
                <span className="shape-text">
                  {dims.map((dim, index) => `${dim} ${formatCount(localShape[index] ?? 0)}`).join(' × ')} · {dtype} ·{' '}
                  {formatBytes(bytes)} · {placement}
                </span>
              </li>
            ))}
          </ul>
        </>
      ) : failure && stale ? (
        <>
          <h2>{node?.title ?? 'Not in this plan'}</h2>
          <p className="id">{selection}</p>
          <p>{node ? node.tooltip : failure.message}</p>
        </>
      ) : (
        <p className="note">…</p>
      )}
    </aside>
  )
}

function Row({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}
