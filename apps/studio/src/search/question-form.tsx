import { type ReactNode, useId } from 'react'
import { ChoiceTable } from './choice-table.jsx'
import type { SearchSpace } from './jobs.js'
import { metricWords } from './metric-words.js'
import { limitParts, mostTop, type SearchState, signs } from './state.js'

interface QuestionFormProps {
  readonly asked: SearchState
  /** What can be asked; undefined until it is found out. */
  readonly space: SearchSpace | undefined
  readonly onChange: (asked: SearchState) => void
  /** What stands before the table of choices, so that it is near by keys: the button that begins. */
  readonly children: ReactNode
}

/** What a search is told: what is to be best, what must hold, what may be chosen. */
export function QuestionForm({ asked, space, onChange, children }: QuestionFormProps) {
  const id = useId()
  const { objective, ranks, top, front } = asked
  const usual = space?.objectives[0] ?? ''
  const metrics = space?.metrics.map(({ name }) => name) ?? []
  /** The question without a field, or with another value of it. */
  const without = <Key extends keyof SearchState>(key: Key): SearchState => {
    const { [key]: _, ...rest } = asked
    return rest as SearchState // only fields that may be left out are left out
  }
  const count = (key: 'ranks' | 'top', label: string, most: number, placeholder: string) => (
    <div className="field">
      <label htmlFor={`${id}-${key}`}>{label}</label>
      <input
        id={`${id}-${key}`}
        type="number"
        min={1}
        max={most}
        value={(key === 'ranks' ? ranks : top) ?? ''}
        placeholder={placeholder}
        onChange={({ target }) => {
          const value = Math.round(Number(target.value))
          if (target.value === '' || !(value >= 1)) onChange(without(key))
          else onChange({ ...asked, [key]: Math.min(most, value) })
        }}
      />
    </div>
  )
  const options = (names: readonly string[], value: string | undefined) =>
    [...new Set([...names, ...(value ? [value] : [])])].map((name) => (
      <option key={name} value={name}>
        {metricWords(name)}
      </option>
    ))
  return (
    <>
      <div className="question-fields">
        <div className="field">
          <label htmlFor={`${id}-objective`}>What is to be best</label>
          <select
            id={`${id}-objective`}
            value={objective ?? usual}
            onChange={({ target }) =>
              onChange(target.value === usual ? without('objective') : { ...asked, objective: target.value })
            }
          >
            {options(space?.objectives ?? [], objective)}
          </select>
        </div>
        {count('ranks', 'Ranks', 999_999_999, String(space?.ranks ?? 'how many?'))}
        {count('top', 'Show the best', mostTop, '5')}
        <fieldset className="front-choice">
          <legend>Draw the front of</legend>
          {([0, 1] as const).map((at) => (
            <select
              key={at}
              aria-label={at === 0 ? 'First metric of the front' : 'Second metric of the front'}
              value={front?.[at] ?? ''}
              onChange={({ target: { value } }) => {
                const other = front?.[at === 0 ? 1 : 0] ?? metrics.find((each) => each !== value) ?? ''
                if (value === '' || other === value) onChange(without('front'))
                else onChange({ ...asked, front: at === 0 ? [value, other] : [other, value] })
              }}
            >
              <option value="">{at === 0 ? 'no front' : '–'}</option>
              {options(metrics, front?.[at])}
            </select>
          ))}
        </fieldset>
      </div>
      <Limits asked={asked} space={space} onChange={onChange} />
      {children}
      <ChoiceTable asked={asked} space={space} onChange={onChange} />
    </>
  )
}

/** What must hold: a row each. */
function Limits({ asked, space, onChange }: Omit<QuestionFormProps, 'children'>) {
  const { limits } = asked
  const metrics = space?.metrics ?? []
  const change = (at: number, limit: string | undefined) =>
    onChange({
      ...asked,
      limits:
        limit === undefined
          ? limits.filter((_, index) => index !== at)
          : limits.map((each, index) => (index === at ? limit : each)),
    })
  const example = (name: string) => metrics.find((metric) => metric.name === name)?.example ?? '1'
  const add = () => {
    const first = metrics.find(({ name }) => !limits.some((limit) => limitParts(limit).metric === name)) ?? metrics[0]
    if (first)
      onChange({
        ...asked,
        limits: [...limits, `${first.name}${first.better === 'less' ? '<=' : '>='}${first.example}`],
      })
  }
  return (
    <fieldset className="limits">
      <legend>What must hold</legend>
      {limits.map((limit, at) => {
        const { metric, sign, bound } = limitParts(limit)
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: limits may be alike
          <div key={at} className="limit">
            <select
              aria-label="Metric of the limit"
              value={metric}
              onChange={({ target }) => change(at, `${target.value}${sign}${example(target.value)}`)}
            >
              {[...new Set([...metrics.map(({ name }) => name), metric])].map((name) => (
                <option key={name} value={name}>
                  {metricWords(name)}
                </option>
              ))}
            </select>
            <select
              aria-label="At most or at least"
              value={sign}
              onChange={({ target }) => change(at, `${metric}${target.value}${bound}`)}
            >
              {signs.map((each) => (
                <option key={each} value={each}>
                  {each === '<=' ? 'at most' : 'at least'}
                </option>
              ))}
            </select>
            <input
              type="text"
              aria-label={`Bound, such as ${example(metric)}`}
              value={bound}
              maxLength={40}
              onChange={({ target }) => change(at, `${metric}${sign}${target.value}`)}
            />
            <button
              type="button"
              className="quiet"
              aria-label={`Remove the limit ${limit}`}
              onClick={() => change(at, undefined)}
            >
              ✕
            </button>
          </div>
        )
      })}
      <button type="button" className="quiet" onClick={add} disabled={metrics.length === 0 || limits.length >= 16}>
        + Limit
      </button>
    </fieldset>
  )
}
