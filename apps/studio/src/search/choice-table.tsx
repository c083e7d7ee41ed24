import { useState } from 'react'
import type { SearchSpace } from './jobs.js'
import { choiceParts, type SearchState } from './state.js'

interface ChoiceTableProps {
  readonly asked: SearchState
  readonly space: SearchSpace | undefined
  readonly onChange: (asked: SearchState) => void
}

/** What may be chosen: everything that is usual, what the spec has, or values that are given. */
export function ChoiceTable({ asked, space, onChange }: ChoiceTableProps) {
  const { choose, keep } = asked
  const chosen = new Map(choose.map(choiceParts))
  const [further, setFurther] = useState('')
  const usual = new Map(space?.choices.map(({ name, values }) => [name, values]))
  const names = [...new Set([...usual.keys(), ...chosen.keys(), ...keep])]
  const narrowed = chosen.size + keep.length
  const set = (name: string, mode: 'any' | 'keep' | string[] | string) => {
    const others = choose.filter((each) => choiceParts(each)[0] !== name)
    const kept = keep.filter((each) => each !== name)
    if (mode === 'any') onChange({ ...asked, choose: others, keep: kept })
    else if (mode === 'keep') onChange({ ...asked, choose: others, keep: [...kept, name] })
    else onChange({ ...asked, choose: [...others, `${name}=${mode}`], keep: kept })
  }
  return (
    <details className="choices">
      <summary>What may be chosen{narrowed > 0 ? `: ${narrowed} narrowed` : ': all that is usual'}</summary>
      <table>
        <caption className="hidden">What may be chosen</caption>
        <tbody>
          {names.map((name) => {
            const values = usual.get(name) ?? []
            const own = chosen.get(name)
            const list = listOf(values)
            return (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>
                  <select
                    aria-label={`${name} may be`}
                    value={own !== undefined ? 'these' : keep.includes(name) ? 'keep' : 'any'}
                    onChange={({ target: { value } }) =>
                      set(name, value === 'these' ? values.join(name === 'order' ? ';' : ',') || '1' : value)
                    }
                  >
                    <option value="any">anything usual</option>
                    <option value="keep">as the spec has it</option>
                    <option value="these">one of these</option>
                  </select>
                </td>
                <td>
                  {own === undefined ? (
                    <span className="note">{keep.includes(name) ? '' : list}</span>
                  ) : (
                    <input
                      type="text"
                      aria-label={`Values of ${name}`}
                      value={own}
                      maxLength={400}
                      onChange={({ target }) => set(name, target.value.trimStart() || ' ')}
                    />
                  )}
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
      <div className="further">
        <input
          type="text"
          aria-label="Another option to choose from, with its values"
          placeholder="another option: linearDtype=bf16,fp8"
          value={further}
          maxLength={400}
          onChange={({ target }) => setFurther(target.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter') event.preventDefault()
            if (event.key === 'Enter' && further.includes('=')) {
              const [name, values] = choiceParts(further)
              set(name.trim(), values.trim())
              setFurther('')
            }
          }}
        />
        <button
          type="button"
          disabled={!/^[^=]+=./.test(further)}
          onClick={() => {
            const [name, values] = choiceParts(further)
            set(name.trim(), values.trim())
            setFurther('')
          }}
        >
          Add
        </button>
      </div>
    </details>
  )
}

/** Values that are shown of a list. */
const mostShown = 12

const listOf = (values: readonly string[]) =>
  values.length > mostShown ? `${values.slice(0, mostShown).join(', ')}, … ${values.at(-1)}` : values.join(', ')
