import { formatBytes, formatCount, formatQuantity, formatSeconds, formatShare } from 'shardloom'
import { desks } from '../worker/desk.js'
import { FailureText } from './failure.jsx'
import { useStudio } from './studio.js'
import { useJob } from './use-job.js'

/** The bottom strip: what the step comes to, or why there is no plan. */
export function Strip() {
  const { text, planned, failure } = useStudio()
  const timed = useJob(desks.time, 'simulate', text === undefined ? undefined : { text })
  const { answer: figures } = timed
  const plan = planned.answer
  const old = timed.stale || planned.stale ? 'figures old' : 'figures'
  const memory = figures?.memory
  return (
    <section className="strip" aria-label="The plan in figures">
      {failure ? (
        <FailureText failure={failure} />
      ) : timed.failure && timed.stale ? (
        <FailureText failure={timed.failure} />
      ) : (
        <dl className={old}>
          <Figure name="Step" value={figures ? formatSeconds(figures.stepSeconds) : '…'} />
          <Figure
            name="Memory at its peak"
            value={memory ? `${formatBytes(memory.peakBytes)} of ${formatBytes(memory.capacityBytes)}` : '…'}
            note={memory ? (memory.fits ? 'fits' : 'does not fit') : ''}
            bad={memory ? !memory.fits : false}
          />
          <Figure name="MFU" value={figures ? formatShare(figures.mfu) : '…'} />
          <Figure name="Tokens per second" value={figures ? formatQuantity(figures.tokensPerSecond, '') : '…'} />
          <Figure name="Waiting for stages" value={figures ? formatShare(figures.bubble.global) : '…'} />
          <Figure name="Ranks" value={plan ? formatCount(plan.summary.world) : '…'} />
          <Figure
            name="Rules"
            value={plan ? (plan.ok ? `✓ all ${plan.rules} hold` : `✗ ${plan.violations.length} violations`) : '…'}
            note={plan?.violations[0]?.message ?? ''}
            bad={plan ? !plan.ok : false}
          />
        </dl>
      )}
      {plan && plan.warnings.length > 0 && !failure && (
        <details className="warnings">
          <summary>
            {plan.warnings.length} {plan.warnings.length === 1 ? 'warning' : 'warnings'}
          </summary>
          <ul>
            {plan.warnings.map((warning) => (
              <li key={warning}>{warning}</li>
            ))}
          </ul>
        </details>
      )}
    </section>
  )
}

interface FigureProps {
  readonly name: string
  readonly value: string
  readonly note?: string
  readonly bad?: boolean
}

function Figure({ name, value, note = '', bad = false }: FigureProps) {
  return (
    <div className={bad ? 'figure bad' : 'figure'}>
      <dt>{name}</dt>
      <dd>
        {value} {note && <span className="note">{note}</span>}
      </dd>
    </div>
  )
}
