import { formatCounted } from 'shardloom'
import type { Io } from '../io.js'
import { progressLine } from '../output.js'

/** How far a search is, for a person at a terminal. */
export interface SearchProgress {
  /** One part more has ended. */
  ended(): void
  clear(): void
}

/** Milliseconds after which the line is written again. */
const beat = 500

/** Parts that have ended, of how many; and how many are worked on at a time. */
interface SearchParts {
  readonly ended: number
  readonly of: number
  readonly hands: number
}

/**
 * Shows how many of the parts have ended, and how long the others take if they are like those that ended since each who works on them has
 * ended one: the first of each is longer, since good candidates are looked for before it. That is reckoned when a part ends, and counts down from
 * there. While parts take longer than those before them it stands at what those that wait take, and is not shown where none wait.
 */
export function searchProgress(io: Io, { ended: before, of, hands }: SearchParts): SearchProgress {
  const line = progressLine(io)
  const warm = before + hands
  let begun = Date.now()
  let ended = before
  let last = begun
  const show = () => {
    const each = (last - begun) / (ended - warm)
    const left = Math.max((of - ended) * each - (Date.now() - last), (of - ended - hands) * each)
    const isKnown = ended > warm && ended < of && left > 0
    const first = ended === before ? ', good candidates first' : ''
    const about = isKnown ? `, about ${durationText(left / 1000)} left` : ''
    line.show(`search: ${ended} of ${formatCounted(of, 'part')}${first}${about}`)
  }
  const timer = setInterval(show, beat).unref()
  return {
    ended() {
      ended++
      last = Date.now()
      if (ended === warm) begun = last
      show()
    },
    clear() {
      clearInterval(timer)
      line.clear()
    },
  }
}

/** As precise as a guess is: `8 s`, `3 min`, `2.5 h`. */
function durationText(seconds: number): string {
  if (seconds < 100) return `${Math.max(1, Math.round(seconds))} s`
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`
}
