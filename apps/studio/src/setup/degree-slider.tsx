import { useId } from 'react'
import { Sentence } from '../shell/failure.jsx'
import type { Choice } from '../worker/protocol.js'
import { useProblem } from './field.jsx'

interface DegreeSliderProps {
  readonly name: string
  readonly help: string
  readonly value: number
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
  const values = [...new Set([...legal, value])].sort((a, b) => a - b)
  const next = choice?.illegal.find((each) => each.value > value) ?? choice?.illegal[0]
  const one = values.length < 2
  return (
    <div className={problem ? 'degree wrong' : 'degree'}>
      <label htmlFor={id} title={help}>
        {name}
      </label>
      <input
        type="range"
        aria-label={`${name}, values that can be planned`}
        aria-valuetext={String(value)}
        min={0}
        max={Math.max(1, values.length - 1)}
        step={1}
        disabled={one}
        value={one ? 0 : values.indexOf(value)}
        onChange={({ target }) => onChange(values[Number(target.value)] ?? value)}
      />
      <input
        id={id}
        type="number"
        min={1}
        value={value}
        aria-invalid={problem !== undefined}
        {...(problem ? { 'aria-describedby': `${id}-problem` } : next && { 'aria-describedby': `${id}-needs` })}
        onChange={({ target }) => target.value !== '' && onChange(Math.max(1, Math.round(Number(target.value))))}
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
