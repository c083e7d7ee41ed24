import type { TimelineData } from '../src/timeline/data.js'
import { packSlices, type SliceInput, sliceKinds, sumsOf } from '../src/timeline/slices.js'

/** A timeline of so many slices on 16 rows, of lengths from one to a thousand: no coarser grain helps to draw it. */
export function manyEvents(count: number): TimelineData {
  const rows = 16
  let seed = 1
  const random = () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return seed / 2 ** 32
  }
  let end = 0
  function* slices(): Generator<SliceInput> {
    let at = 0
    for (let each = 0; each < count / rows; each++) {
      const start = at + (random() < 0.2 ? random() * 900 : 0)
      at = start + 1 + random() ** 4 * 1000
      const kind = sliceKinds[Math.floor(random() * sliceKinds.length)] ?? 'F'
      yield { start: Math.floor(start), end: Math.floor(at), kind, name: each % 50, again: random() < 0.1 ? 1 : 0 }
      at = Math.floor(at)
    }
    end = Math.max(end, at)
  }
  const packed = packSlices(Array.from({ length: rows }, slices))
  const critical = Array.from({ length: 4096 }, (_, at) => at)
  return {
    name: `${count} slices`,
    fact: '',
    unit: 's',
    perUnit: 1e12,
    end,
    rows: Array.from({ length: rows }, (_, row) => ({
      label: `rank ${row}`,
      rank: row,
      stream: 'compute',
      computing: row,
      idle: 0.1,
    })),
    names: Array.from({ length: 50 }, (_, at) => ({ label: `op ${at}`, node: `forward/layer/op${at}` })),
    grains: [packed],
    grainNames: ['operator'],
    sums: sumsOf(packed),
    critical: {
      row: Uint32Array.from(critical, (at) => at % rows),
      start: Float64Array.from(critical, (at) => (at * end) / 4096),
      end: Float64Array.from(critical, (at) => ((at + 1) * end) / 4096),
    },
    flows: { from: new Uint32Array(0), to: new Uint32Array(0) },
    iterations: [],
  }
}
