import { useId, useState } from 'react'
import { useStudio } from '../shell/studio.js'
import { fieldsOf, valueAt, withField } from '../state/spec-text.js'
import type { Measured, Question } from './lesson.js'

interface QuestionBoxProps {
  readonly question: Question
  /** The plan as the page has it, and as the reader has made it; undefined while they are simulated. */
  readonly before: Measured | undefined
  readonly after: Measured | undefined
  /** The spec that `after` is of. */
  readonly text: string
}

/** A question: what the reader expects, the slider that finds out, and what came of it. */
export function QuestionBox({ question, before, after, text }: QuestionBoxProps) {
  const { variant, dispatch } = useStudio()
  const { ask, knob, options, because } = question
  const id = useId()
  const [expected, expect] = useState<number>()
  const path = knob.path.split('.')
  const chosen = (spec: string) => valueAt(fieldsOf(spec), path) ?? knob.values[0]
  const value = chosen(variant.text)
  const set = (next: Question['knob']['to'] | undefined) =>
    next !== undefined &&
    dispatch({ type: 'edit', text: withField(variant.text, path, next), group: `slider ${knob.path}` })
  const answered = before && after && value === knob.to && chosen(text) === knob.to
  const holding = answered ? options.findIndex(({ holds }) => holds(before, after)) : -1
  return (
    <fieldset className="question">
      <legend>Try</legend>
      <p>{ask}</p>
      <div className="options" role="radiogroup" aria-label="What do you expect?">
        {options.map(({ says }, at) => (
          <label key={says} className={at === holding ? 'holds' : ''}>
            <input type="radio" name={id} checked={expected === at} onChange={() => expect(at)} />
            <span>{says}</span>
            {at === holding && (
              <b className="mark" title="This is what the plan says">
                ✓<span className="hidden"> this is what the plan says</span>
              </b>
            )}
          </label>
        ))}
      </div>
      <div className="knob">
        <label htmlFor={`${id}-knob`}>{knob.label}</label>
        <input
          id={`${id}-knob`}
          type="range"
          min={0}
          max={knob.values.length - 1}
          step={1}
          value={Math.max(0, knob.values.indexOf(value as Question['knob']['to']))} // one that is not among them stands at the start
          aria-valuetext={nameOf(value)}
          onChange={({ target }) => set(knob.values[Number(target.value)])}
        />
        <b>{nameOf(value)}</b>
      </div>
      <div role="status">
        {holding >= 0 && before && after ? (
          <p className="because">
            {expected !== undefined && <b>{expected === holding ? 'As you expected. ' : 'Not as you expected. '}</b>}
            {because(before, after)}
          </p>
        ) : value === knob.to ? (
          <p className="note">{after ? 'Something else was changed too: undo it to compare.' : 'Simulating …'}</p>
        ) : (
          <p className="note">
            {typeof knob.to === 'boolean' ? `Turn ${knob.label} ${nameOf(knob.to)}` : `Set ${knob.label} to ${knob.to}`}{' '}
            to find out.
          </p>
        )}
      </div>
    </fieldset>
  )
}

const nameOf = (value: unknown): string => (value === true ? 'on' : value === false ? 'off' : String(value))
