import { useEffect, useMemo, useState } from 'react'
import { desks } from '../worker/desk.js'
import type { PlanSource, ScheduledStep } from '../worker/protocol.js'

/** Steps that are kept, of a spec and of those before it. */
const most = 24

/** Those that there are: another view may be looked at meanwhile. */
let kept: ReadonlyMap<string, ScheduledStep> = new Map()

/** The steps of a spec by other schedules, one after the other: each is shown when it is there, and made once. */
export function useSchedules(source: PlanSource | undefined, names: readonly string[]): readonly ScheduledStep[] {
  const [made, setMade] = useState(kept)
  const keyOf = (name: string) => `${name}\n${source?.pool}\n${source?.text}`
  const next = names.find((name) => !made.has(keyOf(name)))
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key is of the plan and the name
  useEffect(() => {
    if (source === undefined || next === undefined) return
    let live = true
    const show = (step: ScheduledStep) =>
      live && setMade((known) => new Map([...known, [keyOf(next), step] as const].slice(-most)))
    const keep = (step: ScheduledStep) => {
      kept = new Map([...kept, [keyOf(next), step] as const].slice(-most))
      show(step)
    }
    desks.schedules.ask('schedule', { ...source, name: next }).then(keep, (error: unknown) =>
      show({
        name: next,
        failure: { code: 'STOPPED', message: error instanceof Error && error.message ? error.message : 'was stopped.' },
      }),
    )
    return () => {
      live = false
    }
  }, [source, next])
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key is of the plan and the name
  return useMemo(() => names.flatMap((name) => made.get(keyOf(name)) ?? []), [made, names, source])
}
