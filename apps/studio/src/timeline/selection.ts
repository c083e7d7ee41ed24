import { subjectOf } from '../graph/selected.js'
import type { TimelineData } from './data.js'
import type { Place } from './draw.js'

/** What a slice is called in all views: its node on its stage, or of what is more than one node, its number on its rank. */
export function idOfPlace(data: TimelineData, { row, grain, slice }: Place): string | undefined {
  const own = data.rows[row]
  const slices = data.grains[grain]
  if (!own || !slices) return undefined
  const { node = '' } = data.names[slices.name[slice] ?? -1] ?? {}
  if (grain > 0) return `slice ${data.grainNames[grain]} ${own.rank} ${slice - (slices.rowStart[row] ?? 0)}`
  if (node === '') return undefined
  const stage = data.rows[own.computing]?.label ?? ''
  return stage.startsWith('stage ') ? `${stage}/${node}` : node
}

/** The place of a slice that is called so, where a timeline has it. */
export function placeOfId(data: TimelineData | undefined, id: string | undefined): Place | undefined {
  const [, grainName, rank, index] = /^slice (\w+) (\d+) (\d+)$/.exec(id ?? '') ?? []
  if (!data || grainName === undefined) return undefined
  const grain = (data.grainNames as readonly string[]).indexOf(grainName)
  const row = data.rows.findIndex((each) => each.stream === 'compute' && each.rank === Number(rank))
  const first = data.grains[grain]?.rowStart[row]
  const last = data.grains[grain]?.rowStart[row + 1]
  if (first === undefined || last === undefined || first + Number(index) >= last) return undefined
  return { panel: 0, row, grain, slice: first + Number(index) }
}

/** Whether a timeline has something of what is selected. */
export const hasPart = ({ names }: TimelineData, id: string): boolean => {
  const { path } = subjectOf(id)
  return names.some(
    ({ node }) => node !== '' && (node === path || node.startsWith(`${path}/`) || path.startsWith(`${node}/`)),
  )
}
