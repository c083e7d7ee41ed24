import { formatBytes } from 'shardloom'
import type { MemoryPlace } from './draw.js'

/** What is alive at the peaks, in words. */
export function PeakTable({ places }: { readonly places: readonly MemoryPlace[] }) {
  return (
    <details className="memory-table">
      <summary>At the peak, as a table</summary>
      {/* Tables that are wider than the view scroll, also by keys. */}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls is reached by keys */}
      <section className="scrolls" tabIndex={0} aria-label="Memory at the peak">
        <table>
          <thead>
            <tr>
              <th scope="col">rank</th>
              <th scope="col">peak</th>
              <th scope="col">of the limit</th>
              <th scope="col">what is alive</th>
            </tr>
          </thead>
          <tbody>
            {places.map(({ data, rank }) => (
              <tr key={`${data.name} ${rank.rank}`}>
                <th scope="row">{`${data.name} ${rank.name}`}</th>
                <td>{formatBytes(rank.peak.bytes)}</td>
                <td>{`${Math.round((100 * rank.peak.bytes) / data.limit)}\u00a0%`}</td>
                <td>{rank.flag.join(', ').replace(':, ', ': ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </details>
  )
}
