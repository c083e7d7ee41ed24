import { useEffect, useState, useSyncExternalStore } from 'react'
import { desks } from '../worker/desk.js'

/** Milliseconds of work after which a line says so, and after which it can be stopped. */
const untilLine = 150
const untilStop = 2000

/** The desks whose work one waits for; what choices there are is found out beside it. */
const shown = [desks.plan, desks.layout, desks.time, desks.schedules, desks.serving, desks.export]

const subscribe = (listener: () => void) => {
  const ends = shown.map((desk) => desk.subscribe(listener))
  return () => {
    for (const end of ends) end()
  }
}

/** For how many milliseconds one has waited; 0 where nothing works. */
function useWorked(): number {
  const since = useSyncExternalStore(subscribe, () =>
    Math.min(...shown.map((desk) => desk.since() ?? Number.POSITIVE_INFINITY)),
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
  return busy ? now - since : 0
}

/** A line along the top while something works. */
export function ProgressLine() {
  const worked = useWorked()
  return <div className="progress">{worked >= untilLine && <div className="progress-line" />}</div>
}

/** For how long something works, where that is long, and a button that stops it. */
export function ProgressStop() {
  const worked = useWorked()
  return (
    <span className="progress-stop" role="status" aria-live="polite">
      {worked >= untilStop && (
        <>
          <span className="word">Working, </span>
          {Math.floor(worked / 1000)} s{' '}
          <button type="button" onClick={() => shown.forEach((desk) => desk.stop())}>
            Stop
          </button>
        </>
      )}
    </span>
  )
}
