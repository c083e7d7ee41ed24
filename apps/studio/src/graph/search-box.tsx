import { useEffect, useRef, useState } from 'react'
import { isTyping } from '../shell/keys.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { desks } from '../worker/desk.js'
import type { Found } from '../worker/protocol.js'
import { graphRequest } from './graph-request.js'
import { Shape } from './shape.jsx'

/** Finds operators by words of their names, also inside closed cards; `onFound` takes the focus on from the box. */
export function SearchBox({ onFound }: { readonly onFound: (found: Found) => void }) {
  const { state, source } = useStudio()
  const [words, setWords] = useState('')
  const [at, setAt] = useState(0)
  /** Whether the first one is taken as soon as it is known. */
  const [hurried, setHurried] = useState(false)
  const input = useRef<HTMLInputElement>(null)
  const { answer, stale, failure } = useJob(
    desks.plan,
    'find',
    source !== undefined && words.trim() ? { ...graphRequest(source, state.graph), words } : undefined,
  )
  const found = words.trim() ? (answer ?? []) : []
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.key !== '/' || isTyping(event.target)) return
      event.preventDefault()
      input.current?.focus()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])
  const choose = (which: Found) => {
    setWords('')
    onFound(which)
  }
  useEffect(() => {
    if (!hurried || stale) return
    setHurried(false)
    if (answer?.[0]) choose(answer[0])
  })
  return (
    <div className="search">
      <input
        ref={input}
        type="search"
        role="combobox"
        aria-label="Find operators by name"
        aria-expanded={found.length > 0}
        aria-controls="found"
        aria-activedescendant={found[at] ? `found-${at}` : undefined}
        placeholder="Find (/)"
        value={words}
        onChange={({ target }) => {
          setWords(target.value)
          setAt(0)
          setHurried(false)
        }}
        onKeyDown={(event) => {
          const { key } = event
          if (key === 'ArrowDown') setAt(Math.max(0, Math.min(at + 1, found.length - 1)))
          else if (key === 'ArrowUp') setAt(Math.max(at - 1, 0))
          else if (key === 'Enter' && stale) setHurried(words.trim() !== '')
          else if (key === 'Enter' && found[at]) choose(found[at])
          else if (key === 'Escape') {
            setWords('')
            setHurried(false)
            input.current?.blur()
          } else return
          event.preventDefault()
        }}
      />
      {words.trim() && (
        <div id="found" role="listbox" aria-label="Found operators">
          {found.map((each, index) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: keys go to the box
            <div
              key={each.id}
              id={`found-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={index === at}
              onClick={() => choose(each)}
            >
              <svg width={18} height={14} viewBox="-1 -1 24 18" aria-hidden="true">
                <Shape kind={each.kind} width={22} height={16} />
              </svg>
              <span className="id">{each.id}</span>
            </div>
          ))}
          {found.length === 0 && !failure && (
            <div className="none">{stale ? 'Searching…' : 'No operator has these words in its name.'}</div>
          )}
        </div>
      )}
    </div>
  )
}
