import { formatMetric } from 'shardloom'
import { Memory } from '../memory/memory.jsx'
import type { Theme } from '../timeline/paint.js'
import { Timeline } from '../timeline/timeline.jsx'
import type { CompareData } from './data.js'
import { metricDifference, metricWords, parameterText, smallWords } from './words.js'

/** What a comparison is told and tells. */
export interface CompareProps {
  /** The first variant is the one that is pinned: the others are compared with it. */
  readonly data: CompareData
  readonly theme: Theme
  readonly node: string | undefined
  readonly onSelectNode: (node: string | undefined) => void
  /** Called with the place of a variant in `data`. */
  readonly onPin: (variant: number) => void
  readonly onRename: (variant: number, name: string) => void
}

/** Variants side by side: what differs in words, all figures, and their timelines and memory on common axes. */
export function Compare({ data, theme, node, onSelectNode, onPin, onRename }: CompareProps) {
  const { comparison, words, timelines, memories } = data
  const { specs, metrics, parameters, notes } = comparison
  const small = smallWords(comparison)
  return (
    <section className="compare-panel" aria-label="Compare">
      <ol className="compare-cards">
        {specs.map((spec, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a variant is its place; names may be alike
          <li key={index} className={index === 0 ? 'pinned' : ''}>
            <div className="compare-name">
              <input
                aria-label={`Name of variant ${index + 1}`}
                defaultValue={spec.name}
                maxLength={80}
                key={spec.name}
                onBlur={({ target }) => target.value !== spec.name && onRename(index, target.value)}
                onKeyDown={(event) => {
                  event.stopPropagation()
                  if (event.key === 'Enter') event.currentTarget.blur()
                }}
              />
              <button
                type="button"
                aria-pressed={index === 0}
                title={index === 0 ? 'The others are compared with this one' : 'Compare the others with this one'}
                onClick={() => onPin(index)}
              >
                {index === 0 ? 'pinned' : 'pin'}
              </button>
            </div>
            <p className="compare-fact">{`${spec.model} · ${spec.world} ranks of ${spec.cluster}${spec.fits ? '' : ' · does not fit'}`}</p>
            {index > 0 && (
              <ul className="compare-words">
                {(words[index] ?? []).map((each) => (
                  <li key={each}>{each}</li>
                ))}
              </ul>
            )}
            {index === 0 && <p className="compare-fact">the others are compared with this one</p>}
          </li>
        ))}
      </ol>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls is reached by keys */}
      <section className="compare-table" tabIndex={0} aria-label="Figures of all variants">
        <table>
          <thead>
            <tr>
              <th scope="col">
                <span className="hidden">figure</span>
              </th>
              {specs.map(({ name }, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: as above
                <th scope="col" key={index}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {parameters.map(({ field, values }) => (
              <tr key={field} className="parameter">
                <th scope="row">
                  <code>{field}</code>
                </th>
                {values.map((value, index) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: as above
                  <td key={index}>
                    <code>{parameterText(value)}</code>
                  </td>
                ))}
              </tr>
            ))}
            {metrics.map((metric) => (
              <tr key={metric.metric}>
                <th scope="row" title={metricWords(metric).title}>
                  {metricWords(metric).name}
                </th>
                {metric.values.map((value, index) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: as above
                  <td key={index}>
                    {formatMetric(metric, value)}
                    {index > 0 && <small>{metricDifference(metric, index, comparison)}</small>}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
        {[...(small ? [small] : []), ...notes].map((note) => (
          <p key={note} className="compare-fact">
            {note}
          </p>
        ))}
      </section>
      <div className="compare-timeline">
        <Timeline panels={timelines} theme={theme} node={node} onSelectNode={onSelectNode} />
      </div>
      <div className="compare-memory" style={{ height: 150 + 230 * memories.length }}>
        <Memory
          steps={memories}
          timeline={timelines[0]}
          theme={theme}
          node={node}
          onSelectNode={onSelectNode}
          most={1}
        />
      </div>
    </section>
  )
}
