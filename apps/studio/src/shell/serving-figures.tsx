import { useSyncExternalStore } from 'react'
import { formatCount, formatQuantity, formatSeconds, formatShare } from 'shardloom'
import { desks } from '../worker/desk.js'
import { FailureText } from './failure.jsx'
import { Figure, RulesFigure } from './figure.jsx'
import { useStudio } from './studio.js'
import { useJob } from './use-job.js'
import { useTogether } from './use-together.js'

/** What clients see of serving: times to and between tokens, tokens in all, and the room for what is cached of them. */
export function ServingFigures() {
  const { text, planned, variant } = useStudio()
  const made = useJob(desks.serving, 'serve', text === undefined ? undefined : { text })
  const { plan, answer: served, old } = useTogether(planned, made)
  const { failure, stale, progress, again } = made
  const busy = useSyncExternalStore(desks.serving.subscribe, () => desks.serving.since() !== undefined)
  if (failure && stale && failure.code !== 'STOPPED')
    return <FailureText failure={failure} old={text !== variant.text} />
  const { ttft, tpot } = served?.spread ?? {}
  const { load, limits = [] } = served ?? {}
  const caching = served?.pools.at(-1)
  return (
    <>
      <dl className={old ? 'figures old' : 'figures'}>
        <Figure
          name="Time to first token"
          value={served && formatSeconds(served.ttftSeconds)}
          note={ttft && `p99 ${formatSeconds(ttft.p99)}`}
        />
        <Figure
          name="Time per output token"
          value={served && (served.tpotSeconds === null ? '–' : formatSeconds(served.tpotSeconds))}
          note={tpot ? `p99 ${formatSeconds(tpot.p99)}` : ''}
        />
        <Figure
          name="Generated tokens/s"
          value={served && formatQuantity(Math.round(served.tokensPerSecond), '')}
          note={served && `${formatQuantity(Math.round(served.tokensPerSecondPerRank), '')} per rank`}
        />
        <Figure
          name="KV cache of an engine"
          value={caching && `${formatQuantity(caching.capacityTokens, '')} tokens`}
          note={caching && `${formatShare(caching.peakCapacityUsed)} used at most`}
        />
        <Figure
          name="Requests/s"
          value={served?.requestsPerSecond.toPrecision(3)}
          note={load && (load.clients === undefined ? 'as they arrive' : `${formatCount(load.clients)} clients`)}
        />
        <Figure name="Ranks" value={served && formatCount(served.world)} />
        <RulesFigure plan={plan} />
      </dl>
      {stale && !planned.stale && (
        <p className="note" role="status">
          {busy ? (
            `serving${progress && progress.of > 1 ? `: ${formatShare(Math.min(1, progress.done / progress.of))}` : ' …'}`
          ) : (
            <button type="button" onClick={again}>
              Serve
            </button>
          )}
        </p>
      )}
      {limits.length > 0 && !stale && (
        <details className="warnings">
          <summary>What limits</summary>
          <ul>
            {limits.map((limit) => (
              <li key={limit}>{limit}</li>
            ))}
          </ul>
        </details>
      )}
    </>
  )
}
