import { useRef, useState } from 'react'
import { formatQuantity } from 'shardloom'
import { useStudio } from '../shell/studio.js'
import { configOf, nameOfConfig } from './config.js'
import { Field } from './field.jsx'

interface ModelFieldProps {
  readonly value: unknown
  readonly onChange: (model: unknown) => void
}

/** The model: a preset, or a `config.json` of Hugging Face that is chosen, dropped on the page or pasted, and then stands in the spec. */
export function ModelField({ value, onChange }: ModelFieldProps) {
  const { catalogue } = useStudio()
  const chooser = useRef<HTMLInputElement>(null)
  const [problem, setProblem] = useState('')
  const take = async (file: File | undefined) => {
    if (!file) return
    try {
      onChange(await configOf(file))
      setProblem('')
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error))
    }
  }
  const own = typeof value === 'object' && value !== null
  const known = catalogue?.models ?? []
  return (
    <div className="model">
      <Field path="model" label="Model" help="a preset, or the config.json of a model">
        {(attributes) => (
          <select
            {...attributes}
            value={own ? '' : String(value ?? '')}
            onChange={({ target }) => target.value && onChange(target.value)}
          >
            {own && <option value="">{nameOfConfig(value)} (config.json)</option>}
            {typeof value === 'string' && !known.some(({ preset }) => preset === value) && (
              <option value={value}>{value}</option>
            )}
            {known.map(({ preset = '', parameters }) => (
              <option key={preset} value={preset}>
                {preset} · {formatQuantity(parameters, '').replace('G', 'B')}
              </option>
            ))}
          </select>
        )}
      </Field>
      <button type="button" className="drop" onClick={() => chooser.current?.click()}>
        or a config.json: choose, drop or paste it
      </button>
      <input
        ref={chooser}
        type="file"
        accept=".json,application/json"
        hidden
        onChange={({ target }) => {
          void take(target.files?.[0])
          target.value = ''
        }}
      />
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  )
}
