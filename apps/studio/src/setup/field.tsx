import { type ReactNode, useId } from 'react'
import { Sentence } from '../shell/failure.jsx'
import { useStudio } from '../shell/studio.js'

/** What the control of a field has to carry. */
export interface FieldAttributes {
  readonly id: string
  readonly 'aria-invalid': boolean
  readonly 'aria-describedby'?: string
}

interface FieldProps {
  /** Where the field stands in the spec: `parallel.tp`. */
  readonly path: string
  readonly label: string
  /** What it means. */
  readonly help: string
  readonly children: (attributes: FieldAttributes) => ReactNode
}

/** A field with its label; where the plan fails because of it, it says why and what would work. */
export function Field({ path, label, help, children }: FieldProps) {
  const id = useId()
  const problem = useProblem(path)
  return (
    <div className={problem ? 'field wrong' : 'field'}>
      <label htmlFor={id} title={help}>
        {label}
      </label>
      {children({ id, 'aria-invalid': problem !== undefined, ...(problem && { 'aria-describedby': `${id}-problem` }) })}
      {problem && (
        <p className="problem" id={`${id}-problem`}>
          <Sentence text={problem.message} /> {problem.help && <Sentence text={problem.help} className="help" />}
        </p>
      )}
    </div>
  )
}

/** The error of the plan, where it is about a field: errors name its path, or the field alone. */
export function useProblem(path: string) {
  const { failure: told, failureOld } = useStudio()
  const failure = failureOld ? undefined : told
  const { subject } = failure ?? {}
  return subject === path || subject === path.split('.').at(-1) ? failure : undefined
}
