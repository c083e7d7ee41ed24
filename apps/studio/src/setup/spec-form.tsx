import { useStudio } from '../shell/studio.js'
import { valueAt, withField } from '../state/spec-text.js'
import { DegreeSlider } from './degree-slider.jsx'
import { Field } from './field.jsx'
import { withDegree, withPhase } from './fitting.js'
import { ModelField } from './model-field.jsx'
import { NumberInput } from './number-input.jsx'
import { ServingFields } from './serving-fields.jsx'
import { useChoices } from './use-choices.js'

/** Degrees that most plans have, and those that some have. */
const usualDegrees = ['dp', 'tp', 'pp', 'cp', 'ep']
const furtherDegrees = ['ulysses', 'dcp', 'expertTp', 'dpReplicate', 'replicas']

/** Options that are shown, in their order, by phase. */
const optionsOf: Readonly<Record<string, readonly string[]>> = {
  training: ['zero', 'sequenceParallel', 'schedule', 'virtual', 'recompute', 'attention', 'dtype', 'linearDtype'],
  prefill: ['sequenceParallel', 'attention', 'dtype', 'weightDtype', 'cacheDtype'],
  decode: ['dtype', 'weightDtype', 'cacheDtype'],
  serving: ['dtype', 'weightDtype', 'cacheDtype'],
}

const phases = ['training', 'prefill', 'decode', 'serving'] as const

/** The spec as fields. What is not among them stands in the YAML, and stays as it is. */
export function SpecForm({ fields }: { readonly fields: Readonly<Record<string, unknown>> }) {
  const { variant, dispatch, catalogue, planned } = useStudio()
  const choices = useChoices([...usualDegrees, ...furtherDegrees].map((name) => `parallel.${name}`))
  // What the last plan that worked had says nothing about one that does not.
  const planValues = (planned.failure ? undefined : planned.answer?.values) ?? {}
  const edit = (text: string, group = '') => dispatch({ type: 'edit', text, group })
  const set = (path: readonly string[], value: unknown, group = '') => edit(withField(variant.text, path, value), group)
  const phase = String(valueAt(fields, ['phase']) ?? planValues['phase'] ?? 'training')
  /** Pools of serving that each have degrees of their own leave none for both. */
  const apart =
    phase === 'serving' &&
    ['prefill', 'decode'].every((pool) => valueAt(fields, ['options', 'serving', pool, 'parallel']) !== undefined)
  const described = new Map(catalogue?.fields.map((field) => [field.path.join('.'), field]))
  const shown = (path: string) => valueAt(fields, path.split('.')) ?? planValues[path]

  const shownBatch = valueAt(fields, ['batch']) ?? planValues['batch']
  const batchByPool =
    phase === 'serving' &&
    ['prefill', 'decode'].some((pool) => valueAt(fields, ['options', 'serving', pool, 'batch']) !== undefined)

  const number = (path: string, label: string, open: unknown = planValues[path]) => (
    <Field path={path} label={label} help={described.get(path)?.description ?? ''}>
      {(attributes) => (
        <NumberInput
          {...attributes}
          min={1}
          value={valueAt(fields, path.split('.'))}
          placeholder={String(open ?? '')}
          onChange={(value) => set(path.split('.'), value, `typing ${path}`)}
        />
      )}
    </Field>
  )
  const degree = (name: string) => {
    const path = `parallel.${name}`
    return (
      <DegreeSlider
        key={name}
        name={name}
        help={described.get(path)?.description ?? ''}
        value={shown(path) ?? 1}
        choice={choices.get(path)}
        onChange={(value) => edit(withDegree(variant.text, name, value), `slider ${name}`)}
      />
    )
  }
  const option = (name: string) => {
    const path = `options.${name}`
    const field = described.get(path)
    if (!field) return null
    const own = shown(path)
    // A schedule may be spelled in several ways; the plan has its name.
    const value = name === 'schedule' && !catalogue?.schedules.includes(String(own)) ? (planValues[path] ?? own) : own
    const change = (next: unknown) => set(['options', name], next === field.default ? undefined : next)
    if (typeof value === 'object') return null // a choice by layers, which the YAML has
    const known =
      name === 'schedule'
        ? catalogue?.schedules
        : name === 'zero'
          ? ['0', '1', '2', '3']
          : (field.choices ?? choicesOfText[name])
    return (
      <Field key={name} path={path} label={labels[name] ?? name} help={field.description}>
        {(attributes) =>
          field.type === 'boolean' ? (
            <input
              {...attributes}
              type="checkbox"
              checked={value === true}
              onChange={({ target }) => change(target.checked)}
            />
          ) : known ? (
            <select
              {...attributes}
              value={String(value ?? '')}
              onChange={({ target }) =>
                change(target.value === '' ? undefined : name === 'zero' ? Number(target.value) : target.value)
              }
            >
              {value === undefined && <option value="">default</option>}
              {[...new Set([...known, ...(value === undefined ? [] : [String(value)])])].map((each) => (
                <option key={each} value={each}>
                  {each}
                </option>
              ))}
            </select>
          ) : (
            <NumberInput
              {...attributes}
              min={1}
              value={valueAt(fields, ['options', name])}
              placeholder="default"
              onChange={change}
            />
          )
        }
      </Field>
    )
  }

  return (
    <form className="form" onSubmit={(event) => event.preventDefault()}>
      <ModelField value={valueAt(fields, ['model'])} onChange={(model) => set(['model'], model)} />
      <Field path="cluster" label="Cluster" help={described.get('cluster')?.description ?? ''}>
        {(attributes) => (
          <select
            {...attributes}
            value={typeof fields['cluster'] === 'string' ? fields['cluster'] : ''}
            onChange={({ target }) => set(['cluster'], target.value || undefined)}
          >
            <option value="">{fields['cluster'] ? clusterText(fields['cluster']) : 'none: no times'}</option>
            {[
              ...new Set([
                ...(catalogue?.clusters ?? []),
                ...(typeof fields['cluster'] === 'string' ? [fields['cluster']] : []),
              ]),
            ].map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        )}
      </Field>
      <fieldset className="segments">
        <legend>Phase</legend>
        {phases.map((name) => (
          <label key={name}>
            <input
              type="radio"
              name="phase"
              checked={phase === name}
              onChange={() => edit(withPhase(variant.text, name))}
            />
            {name}
          </label>
        ))}
      </fieldset>
      <div className="three">
        {batchByPool ? (
          <>
            {number('options.serving.prefill.batch', 'Prefill batch', shownBatch)}
            {number('options.serving.decode.batch', 'Decode batch', shownBatch)}
          </>
        ) : (
          number('batch', 'Batch', phase === 'serving' ? 'by load' : planValues['batch'])
        )}
        {phase !== 'serving' && number('microbatch', 'Microbatch')}
        {number('seq', lengths[phase] ?? 'Sequence')}
      </div>
      {phase === 'serving' && <ServingFields fields={fields} set={set} />}
      <fieldset className="degrees" hidden={apart}>
        <legend>Degrees</legend>
        {usualDegrees.map(degree)}
        <details open={furtherDegrees.some((name) => Number(shown(`parallel.${name}`) ?? 1) > 1)}>
          <summary>More axes</summary>
          {furtherDegrees.map(degree)}
        </details>
      </fieldset>
      <fieldset className="options">
        <legend>Options</legend>
        {(optionsOf[phase] ?? []).map(option)}
      </fieldset>
      {catalogue && (
        <label className="start-from">
          <span>Start from</span>
          <select
            value=""
            onChange={({ target }) => {
              const preset = catalogue.presets.find(({ name }) => name === target.value)
              if (preset) dispatch({ type: 'edit', text: `${preset.text}cluster: dgx-h100\n`, group: '' })
            }}
          >
            <option value="">a mixture that people run …</option>
            {catalogue.presets.map(({ name, title }) => (
              <option key={name} value={name}>
                {name}: {title}
              </option>
            ))}
          </select>
        </label>
      )}
    </form>
  )
}

/** A cluster that is an object, by what it is made of and how large it is. */
function clusterText(cluster: unknown): string {
  const name = ['preset', 'name', 'accelerator'].map((key) => valueAt(cluster, [key])).find(isText)
  const nodes = valueAt(cluster, ['nodes'])
  if (name === undefined) return 'as the YAML says'
  return typeof nodes === 'number' ? `${name} · ${nodes} ${nodes === 1 ? 'node' : 'nodes'}` : name
}

const isText = (value: unknown): value is string => typeof value === 'string'

/** What the length of a sequence is, by phase. */
const lengths: Readonly<Record<string, string>> = { prefill: 'Prompt', decode: 'Context', serving: 'Sequence' }

/** Values of options that may also be objects, which a schema does not list. */
const choicesOfText: Readonly<Record<string, readonly string[]>> = { recompute: ['none', 'selective', 'full'] }

const labels: Readonly<Record<string, string>> = {
  zero: 'ZeRO stage',
  sequenceParallel: 'Sequence parallel',
  schedule: 'Schedule',
  virtual: 'Chunks per rank',
  recompute: 'Recompute',
  attention: 'Attention',
  dtype: 'Element type',
  linearDtype: 'Type of linear layers',
  weightDtype: 'Type of weights',
  cacheDtype: 'Type of KV cache',
}
