import { useEffect, useState, useSyncExternalStore } from 'react'
import type { Desk } from '../worker/desk.js'

/** Milliseconds of work after which a line says so, and after which it can be stopped. */
const untilLine = 150
const untilStop = 2000

/** A line along the top while one of the desks works, and later how long it has, and a button that stops it. */
export function Progress({ desks, label }: { readonly desks: readonly Desk[]; readonly label: string }) {
  const since = useSyncExternalStore(
    (listener) => {
      const ends = desks.map((desk) => desk.subscribe(listener))
      return () => {
        for (const end of ends) end()
      }
    },
    () => Math.min(...desks.map((desk) => desk.since() ?? Number.POSITIVE_INFINITY)),
  )
  const busy = Number.isFinite(since)
  const [now, setNow] = useState(0)
  useEffect(() => {
    if (!busy) return
    const tick = () => setNow(performance.now())
    const timer = setInterval(tick, 100)
    tick()
    return () => clearInterval(timer)
  }, [busy])
  const worked = busy ? now - since : 0
  return (
    <div className="progress" role="status" aria-live="polite">
      {worked >= untilLine && <div className="progress-line" />}
      {worked >= untilStop && (
        <div className="progress-stop">
          {label}, {Math.floor(worked / 1000)} s{' '}
          <button type="button" onClick={() => desks.forEach((desk) => desk.stop())}>
            Stop
          </button>
        </div>
      )}
    </div>
  )
}
