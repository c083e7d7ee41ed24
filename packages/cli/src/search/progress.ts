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

/** Shows how many of the parts have ended, and how long the others take if they are like those that ended since now. */
export function searchProgress(io: Io, { ended: before, of }: { ended: number; of: number }): SearchProgress {
  const line = progressLine(io)
  const begun = Date.now()
  let ended = before
  const show = () => {
    const seconds = ((Date.now() - begun) / 1000 / (ended - before)) * (of - ended)
    const left = ended > before && ended < of ? `, about ${durationText(seconds)} left` : ''
    line.show(`search: ${ended} of ${of} parts${left}`)
  }
  const timer = setInterval(show, beat).unref()
  return {
    ended() {
      ended++
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
