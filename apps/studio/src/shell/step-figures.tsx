import { formatBytes, formatCount, formatQuantity, formatSeconds, formatShare } from 'shardloom'
import { desks } from '../worker/desk.js'
import { FailureText } from './failure.jsx'
import { Figure, RulesFigure } from './figure.jsx'
import { useStudio } from './studio.js'
import { bubbleTitle } from './terms.js'
import { useJob } from './use-job.js'
import { useTogether } from './use-together.js'

/** What a step comes to: of prefill the time to the first token, of decode the time per token. */
export function StepFigures() {
  const { source, planned, variant } = useStudio()
  const made = useJob(desks.time, 'simulate', source)
  const { plan, answer: figures, old } = useTogether(planned, made)
  const { failure, stale } = made
  if (failure && stale) return <FailureText failure={failure} old={source?.text !== variant.text} />
  const memory = figures?.memory
  const { ttftSeconds, tpotSeconds } = figures ?? {}
  const seconds = ttftSeconds ?? tpotSeconds ?? figures?.stepSeconds
  const time =
    ttftSeconds !== undefined ? 'Time to first token' : tpotSeconds !== undefined ? 'Time per output token' : 'Step'
  return (
    <dl className={old ? 'figures old' : 'figures'}>
      <Figure name={time} value={seconds === undefined ? undefined : formatSeconds(seconds)} />
      <Figure
        name="Memory at its peak"
        title={
          memory &&
          `A device has ${formatBytes(memory.capacityBytes)}, of which ${formatBytes(memory.reserveBytes)} are in reserve for context, allocator and communication library`
        }
        value={
          memory && `${formatBytes(memory.peakBytes)} of ${formatBytes(memory.capacityBytes - memory.reserveBytes)}`
        }
        note={memory && (memory.fits ? 'fits' : 'does not fit')}
        bad={memory ? !memory.fits : false}
      />
      <Figure name="MFU" value={figures && formatShare(figures.mfu)} />
      <Figure name="Tokens/s" value={figures && formatQuantity(figures.tokensPerSecond, '')} />
      <Figure name="Pipeline bubble" title={bubbleTitle} value={figures && formatShare(figures.bubble.global)} />
      <Figure name="Ranks" value={plan && formatCount(plan.summary.world)} />
      <RulesFigure plan={plan} />
    </dl>
  )
}
