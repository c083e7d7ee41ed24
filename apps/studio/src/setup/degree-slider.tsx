import { useId } from 'react'
import { Sentence } from '../shell/failure.jsx'
import type { Choice } from '../worker/protocol.js'
import { useProblem } from './field.jsx'
import { NumberInput } from './number-input.jsx'

interface DegreeSliderProps {
  readonly name: string
  readonly help: string
  /** What the spec has there, whatever it is. */
  readonly value: unknown
  /** Which values can be planned; undefined while that is found out. */
  readonly choice: Choice | undefined
  readonly onChange: (value: number) => void
}

/** Values that a slider has before it is known which can be planned. */
const guesses = [1, 2, 4, 8, 16, 32, 64]

/**
 * A degree: a slider over the values that can be planned, and a box for any other, of which it says what it would need. What the next
 * larger degree lacks stands below while one is here.
 */
export function DegreeSlider({ name, help, value, choice, onChange }: DegreeSliderProps) {
  const id = useId()
  const problem = useProblem(`parallel.${name}`)
  const legal = choice?.legal.length ? choice.legal : guesses
  const degree = typeof value === 'number' && Number.isFinite(value) ? value : 1
  const values = [...new Set([...legal, degree])].sort((a, b) => a - b)
  const next = choice?.illegal.find((each) => each.value > degree) ?? choice?.illegal[0]
  const one = values.length < 2
  return (
    <div className={problem ? 'degree wrong' : 'degree'}>
      <label htmlFor={id} title={help}>
        {name}
      </label>
      <input
        type="range"
        aria-label={`${name}, values that can be planned`}
        aria-valuetext={String(degree)}
        min={0}
        max={Math.max(1, values.length - 1)}
        step={1}
        disabled={one}
        value={one ? 0 : values.indexOf(degree)}
        onChange={({ target }) => onChange(values[Number(target.value)] ?? degree)}
      />
      <NumberInput
        id={id}
        min={1}
        value={value}
        placeholder=""
        aria-invalid={problem !== undefined}
        {...(problem ? { 'aria-describedby': `${id}-problem` } : next && { 'aria-describedby': `${id}-needs` })}
        onChange={(next) => next !== undefined && onChange(Math.max(1, Math.round(next)))}
      />
      {problem ? (
        <p className="problem" id={`${id}-problem`}>
          <Sentence text={problem.message} /> {problem.help && <Sentence text={problem.help} className="help" />}
        </p>
      ) : (
        next && (
          <p className="needs" id={`${id}-needs`}>
            <b>
              {name} {next.value}?
            </b>{' '}
            <Sentence text={next.message} /> <Sentence text={next.help ?? ''} />
          </p>
        )
      )}
    </div>
  )
}
