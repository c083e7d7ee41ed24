import { useStudio } from '../shell/studio.js'
import { valueAt, withField } from '../state/spec-text.js'
import { Field } from './field.jsx'
import { NumberInput } from './number-input.jsx'

interface ServingFieldsProps {
  readonly fields: Readonly<Record<string, unknown>>
  readonly set: (path: readonly string[], value: unknown, group?: string) => void
}

const pools = ['prefill', 'decode'] as const

/** Degrees that engines have. */
const degrees = ['tp', 'pp', 'dp', 'ep', 'replicas'] as const

/** What comes to an engine, and on which ranks its phases run. */
export function ServingFields({ fields, set }: ServingFieldsProps) {
  const { catalogue, variant, dispatch, planned } = useStudio()
  const sequence = valueAt(fields, ['seq']) ?? planned.answer?.values['seq']
  const described = new Map(catalogue?.fields.map((field) => [field.path.join('.'), field]))
  const serving = ['options', 'serving']
  const number = (path: readonly string[], label: string, placeholder: string, step = 1) => {
    const name = path.join('.')
    const value = valueAt(fields, path)
    return (
      <Field key={name} path={name} label={label} help={described.get(name)?.description ?? ''}>
        {(attributes) => (
          <NumberInput
            {...attributes}
            min={step}
            step={step === 1 ? 1 : 'any'}
            value={value}
            placeholder={placeholder}
            onChange={(next) => set(path, next, `typing ${name}`)}
          />
        )}
      </Field>
    )
  }
  const load = (name: string) => [...serving, 'load', name]
  const own = (pool: string) => [...serving, pool, 'parallel']
  const apart = pools.some((pool) => valueAt(fields, own(pool)) !== undefined)
  const engine = described.get('options.serving.engine')
  /** Gives each pool the degrees of all, or all of them those of decode: in one step. */
  const divide = (into: boolean) => {
    const { text } = variant
    const common = valueAt(fields, ['parallel'])
    const degrees = (into ? common : valueAt(fields, own('decode'))) ?? { tp: 1 }
    const divided = pools.reduce((before, pool) => withField(before, own(pool), into ? degrees : undefined), text)
    dispatch({ type: 'edit', text: withField(divided, ['parallel'], into ? undefined : degrees), group: '' })
  }
  return (
    <>
      <fieldset className="serving">
        <legend>Load</legend>
        <div className="three">
          {number(load('input'), 'Prompt', sequence === undefined ? 'sequence' : String(sequence))}
          {number(load('output'), 'Output', '256')}
          {number(load('requests'), 'Requests', '10 each')}
        </div>
        <div className="three">
          {number(load('clients'), 'Clients', valueAt(fields, load('rate')) === undefined ? '16' : 'none')}
          {number(load('rate'), 'Rate, 1/s', 'none', 0.001)}
          {engine && (
            <Field path="options.serving.engine" label="Engine" help={engine.description}>
              {(attributes) => (
                <select
                  {...attributes}
                  value={String(valueAt(fields, [...serving, 'engine']) ?? '')}
                  onChange={({ target }) => set([...serving, 'engine'], target.value || undefined)}
                >
                  <option value="">vllm</option>
                  {(engine.choices ?? catalogue?.servingEngines ?? [])
                    .filter((name) => name !== 'vllm')
                    .map((name) => (
                      <option key={name} value={name}>
                        {name}
                      </option>
                    ))}
                </select>
              )}
            </Field>
          )}
        </div>
      </fieldset>
      <fieldset className="serving">
        <legend>Pools</legend>
        <label className="check">
          <input type="checkbox" checked={apart} onChange={({ target }) => divide(target.checked)} />
          Prefill and decode on ranks of their own
        </label>
        {apart &&
          pools.map((pool) => (
            <fieldset key={pool} className="pool">
              <legend>{pool}</legend>
              {degrees.map((axis) => number([...own(pool), axis], axis, '1'))}
            </fieldset>
          ))}
      </fieldset>
    </>
  )
}
