import { bandNames, type MemoryBand } from 'shardloom/charts'
import type { Theme } from '../timeline/paint.js'
import type { MemoryPlace } from './draw.js'

/** The parts that there are, bottom up, in their colours. */
export function Bands({ places, theme }: { readonly places: readonly MemoryPlace[]; readonly theme: Theme }) {
  const held = new Set(places.flatMap(({ rank }) => rank.bands.map(({ band }) => band)))
  return (
    <ul className="legend" aria-label="Legend">
      {(Object.keys(bandNames) as MemoryBand[])
        .filter((band) => held.has(band))
        .map((band) => (
          <li key={band}>
            <svg width="16" height="12" aria-hidden="true">
              <rect width="16" height="12" fill={theme.bands[band]} />
            </svg>
            {bandNames[band]}
          </li>
        ))}
    </ul>
  )
}
