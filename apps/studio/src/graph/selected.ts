/** What an id is of: the stage or rank that it stands in, where it names one, and the path of the program. */
export interface Subject {
  readonly place: string | undefined
  readonly path: string
}

/**
 * Reads an id of any view: `stage 1/forward/layer`, `rank 0/forward`, `forward/layer/q over ranks 0 1`, or that of a frame, which is
 * called after the regions around it and then after what it is.
 */
export function subjectOf(id: string): Subject {
  const [, place, rest = id] = /^(stage \d+|rank \d+)(?:\/(.*))?$/s.exec(id) ?? []
  if (place !== undefined && rest === id) return { place, path: '' }
  const path = rest.replace(/ over ranks .*$/s, '').replace(/^(?:layers|module|phase|norms|updates) /, '')
  return {
    place,
    path: path.split(' ')[0]?.includes('/') || path.includes(' ') ? (path.split(' ').at(-1) ?? path) : path,
  }
}

/** Whether one id is the other, holds it or is inside of it. */
export function isRelated(id: string, other: string): boolean {
  if (id === other) return true
  const [a, b] = [subjectOf(id), subjectOf(other)]
  if (a.place !== undefined && b.place !== undefined && a.place !== b.place) return false
  return a.path === b.path || isInside(a.path, b.path) || isInside(b.path, a.path)
}

const isInside = (path: string, outer: string) => outer === '' || path.startsWith(`${outer}/`)

/** Which of some ids are selected: those that a selected one is, or where there is none, those that hold it or are inside of it. */
export function selectedAmong(ids: Iterable<string>, selected: readonly string[]): Set<string> {
  const all = [...ids]
  return new Set(
    selected.flatMap((id) => {
      const own = subjectOf(id)
      const exact = all.filter((each) => {
        if (each === id) return true
        const { place, path } = subjectOf(each)
        return (
          path !== '' && path === own.path && (place === undefined || own.place === undefined || place === own.place)
        )
      })
      return exact.length > 0 ? exact : all.filter((each) => isRelated(each, id))
    }),
  )
}
