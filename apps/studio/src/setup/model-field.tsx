import { type DragEvent, useRef, useState } from 'react'
import { formatQuantity } from 'shardloom'
import { useStudio } from '../shell/studio.js'
import { Field } from './field.jsx'

/** The largest file that is taken as a config, in bytes. */
const largestConfig = 200_000

interface ModelFieldProps {
  readonly value: unknown
  readonly onChange: (model: unknown) => void
}

/** The model: a preset, or a `config.json` of Hugging Face that is dropped here or chosen, and then stands in the spec. */
export function ModelField({ value, onChange }: ModelFieldProps) {
  const { catalogue } = useStudio()
  const chooser = useRef<HTMLInputElement>(null)
  const [over, setOver] = useState(false)
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
  const drop = {
    onDragOver: (event: DragEvent) => {
      event.preventDefault()
      setOver(true)
    },
    onDragLeave: () => setOver(false),
    onDrop: (event: DragEvent) => {
      event.preventDefault()
      setOver(false)
      void take(event.dataTransfer.files[0])
    },
  }
  const own = typeof value === 'object' && value !== null
  const known = catalogue?.models ?? []
  return (
    <div className={over ? 'model over' : 'model'} {...drop}>
      <Field path="model" label="Model" help="a preset, or the config.json of a model">
        {(attributes) => (
          <select
            {...attributes}
            value={own ? '' : String(value ?? '')}
            onChange={({ target }) => target.value && onChange(target.value)}
          >
            {own && <option value="">{nameOf(value)}</option>}
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
        or drop a config.json
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

function nameOf(model: object): string {
  const {
    name,
    model_type: type,
    _name_or_path: path,
  }: { name?: unknown; model_type?: unknown; _name_or_path?: unknown } = model
  const found = [name, path, type].find((each) => typeof each === 'string' && each !== '')
  return `${String(found ?? 'a model of its own').slice(0, 60)} (config.json)`
}

async function configOf(file: File): Promise<unknown> {
  if (file.size > largestConfig)
    throw new Error(
      `${file.name} has ${file.size} bytes; a config.json has at most ${largestConfig}. Is it the right file?`,
    )
  let value: unknown
  try {
    value = JSON.parse(await file.text())
  } catch {
    throw new Error(`${file.name} is no JSON. Drop the config.json that stands beside the weights.`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${file.name} is no object. Drop the config.json that stands beside the weights.`)
  return value
}
