import { useRef } from 'react'
import { useStudio } from '../shell/studio.js'
import type { ScheduledStep } from '../worker/protocol.js'

interface PickerProps {
  /** The schedule of the plan. */
  readonly own: string
  /** Those that it is compared with, and what came of them. */
  readonly chosen: readonly string[]
  readonly steps: readonly ScheduledStep[]
  readonly onChange: (names: readonly string[]) => void
}

/** The schedules that a plan can be compared with; of those that it cannot have, what they would need. */
export function SchedulePicker({ own, chosen, steps, onChange }: PickerProps) {
  const { catalogue } = useStudio()
  const menu = useRef<HTMLDetailsElement>(null)
  const failures = steps.flatMap((step) => ('failure' in step ? [step] : []))
  return (
    <>
      <details
        className="menu schedules"
        ref={menu}
        onKeyDown={(event) => {
          if (event.key !== 'Escape') return
          event.stopPropagation()
          menu.current?.removeAttribute('open')
        }}
        onBlur={({ relatedTarget, currentTarget }) => {
          if (relatedTarget && !currentTarget.contains(relatedTarget)) currentTarget.removeAttribute('open')
        }}
      >
        <summary className="button">Compare schedules</summary>
        <fieldset className="menu-list">
          <legend className="hidden">Schedules above each other</legend>
          {(catalogue?.schedules ?? []).map((name) => (
            <label key={name} className="check">
              <input
                type="checkbox"
                disabled={name === own}
                checked={name === own || chosen.includes(name)}
                onChange={({ target }) =>
                  onChange(target.checked ? [...chosen, name] : chosen.filter((each) => each !== name))
                }
              />
              {name}
              {name === own && <span className="note">this plan</span>}
            </label>
          ))}
        </fieldset>
      </details>
      {failures.length > 0 && (
        <ul className="schedule-needs" aria-live="polite">
          {failures.map(({ name, failure }) => (
            <li key={name}>
              <b>{name}</b> {failure.message} {failure.help}
            </li>
          ))}
        </ul>
      )}
    </>
  )
}
