import { formatBytes, formatCount, formatFlops, formatQuantity } from 'shardloom'
import { useStudio } from '../shell/studio.js'

/** What a rank holds, computes and communicates in a step; each communication leads to its node, or to the nodes that it counts. */
export function Overview() {
  const { planned, dispatch } = useStudio()
  const summary = planned.answer?.summary
  if (!summary) return <p className="note">…</p>
  const { model, mesh, perRank, communication } = summary
  const degrees = Object.entries(mesh).filter(([, degree]) => degree > 1)
  return (
    <>
      <h2>{model.name}</h2>
      <p>
        {formatQuantity(model.parameters, '').replace('G', 'B')} parameters on{' '}
        {summary.world === 1
          ? 'one rank'
          : `${formatCount(summary.world)} ranks: ${degrees.map(([axis, degree]) => `${axis}\u00a0${degree}`).join(' · ')}`}
      </p>
      <h3>One rank, one step</h3>
      <dl>
        <div>
          <dt>parameters</dt>
          <dd>{formatBytes(perRank.parameterBytes)}</dd>
        </div>
        <div>
          <dt>computes</dt>
          <dd>{formatFlops(perRank.flops)}</dd>
        </div>
      </dl>
      <h3>Communication</h3>
      <ul className="communication">
        {communication.map(({ op, axes, count, bytesPerRank, reason, nodes, phase }) => (
          <li key={nodes[0]}>
            <button
              type="button"
              onClick={() => {
                const [first = ''] = nodes
                dispatch({ type: 'look', change: { selection: nodes.length > 1 ? `alike ${first}` : first } })
              }}
            >
              <b>{[op, axes.join(', ')].filter(Boolean).join(' · ')}</b>
              <span>
                {phase} · {count === 1 ? 'once' : `${formatCount(count)} times`} · sends {formatBytes(bytesPerRank)}
              </span>
              <span className="reason">
                {reason}
                {nodes.length > 1 && `, and ${formatCount(nodes.length - 1)} more`}
              </span>
            </button>
          </li>
        ))}
        {communication.length === 0 && <li className="note">None: no strategy splits anything.</li>}
      </ul>
    </>
  )
}
