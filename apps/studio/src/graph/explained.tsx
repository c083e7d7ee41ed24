import { type Explanation, formatBytes, formatCount, formatFlops, formatSeconds } from 'shardloom'
import { Sentence } from '../shell/failure.jsx'
import { useStudio } from '../shell/studio.js'
import type { Inspected } from '../worker/protocol.js'
import { GroupPicture } from './group-picture.jsx'
import { Row } from './row.jsx'

interface ExplainedProps {
  readonly found: Explanation
  readonly inspected: Inspected
}

/** A node of the program: why it is there, what it moves, with whom, and how long it takes. */
export function Explained({ found, inspected }: ExplainedProps) {
  const { planned } = useStudio()
  const { computing, communicating = 0 } = inspected
  return (
    <>
      <h2>
        {found.op} <span className={`kind ${found.kind}`}>{found.kind}</span>
      </h2>
      <p className="id">{found.node}</p>
      <h3>Why</h3>
      {[...found.text, ...(inspected.border === undefined ? [] : [inspected.border])].map((sentence) => (
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
        <Row name="runs in a step" value={found.executions === 1 ? 'once' : `${formatCount(found.executions)} times`} />
        {computing !== undefined && (
          <Row
            name="takes in a step"
            value={found.op === 'recv' ? 'the time of its send' : formatSeconds(computing + communicating)}
          />
        )}
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
        ].map(([way, { tensor, dims, localShape, dtype, density, placement, bytes }], at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a tensor may be read twice
          <li key={at}>
            <span className="way">{way}</span> <span className="id">{tensor}</span>
            <span className="shape-text">
              {dims.map((dim, index) => `${dim} ${formatCount(localShape[index] ?? 0)}`).join(' × ')} · {dtype} ·{' '}
              {density && `${density[0]} of every ${density[1]} elements filled · `}
              {formatBytes(bytes)} · {placement}
            </span>
          </li>
        ))}
      </ul>
    </>
  )
}
