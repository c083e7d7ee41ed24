import { useId, useMemo, useRef, useState } from 'react'
import { Sentence } from '../shell/failure.jsx'
import { useStudio } from '../shell/studio.js'
import { placeOf } from '../state/spec-text.js'
import { sizeProblem } from '../state/studio-state.js'

/** Pixels of a line, and above the first one: as in `setup.css`. */
const lineHeight = 19
const above = 16

/** Lines whose numbers are there at once: more than a screen has, so that few scrolls need others. */
const numbered = 400

/**
 * The spec as YAML. The line that an error is about is marked, and named in words. Tab indents; after Escape it leads on, so that nobody is
 * kept in.
 */
export function YamlEditor() {
  const { variant, dispatch, failure: told, failureOld } = useStudio()
  const failure = failureOld ? undefined : told
  const id = useId()
  const area = useRef<HTMLTextAreaElement>(null)
  const margin = useRef<HTMLDivElement>(null)
  const leaving = useRef(false)
  const { text } = variant
  const place = useMemo(() => failure && placeOf(text, failure.subject), [text, failure])
  const lines = useMemo(() => text.split('\n').length, [text])
  const [from, setFrom] = useState(0)
  const numbers = Array.from({ length: Math.min(numbered, lines - from) }, (_, at) => from + at + 1)
  const goTo = (line: number) => {
    const start =
      text
        .split('\n')
        .slice(0, line - 1)
        .join('\n').length + (line > 1 ? 1 : 0)
    const end = text.indexOf('\n', start)
    area.current?.focus()
    area.current?.setSelectionRange(start, end < 0 ? text.length : end)
  }
  return (
    <div className={failure ? 'yaml-editor wrong' : 'yaml-editor'}>
      <div className="yaml-lines">
        <div className="yaml-margin" aria-hidden="true">
          <div ref={margin}>
            <pre style={{ marginTop: from * lineHeight, minWidth: `calc(${String(lines).length}ch + 24px)` }}>
              {numbers.join('\n')}
            </pre>
            {place && <span className="mark" style={{ top: above + (place.line - 1) * lineHeight }} />}
          </div>
        </div>
        <textarea
          ref={area}
          className="yaml"
          aria-label="The spec as YAML"
          aria-invalid={failure !== undefined}
          aria-describedby={`${id}-keys${failure ? ` ${id}-problem` : ''}`}
          spellCheck={false}
          wrap="off"
          value={text}
          onChange={({ target }) => dispatch({ type: 'edit', text: target.value, group: 'typing' })}
          onPaste={(event) => {
            // What is too large is refused before the browser lays it out.
            const { value, selectionStart, selectionEnd } = event.currentTarget
            const pasted = event.clipboardData.getData('text/plain')
            const whole = value.slice(0, selectionStart) + pasted + value.slice(selectionEnd)
            if (!sizeProblem(whole)) return
            event.preventDefault()
            dispatch({ type: 'edit', text: whole, group: 'typing' })
          }}
          onScroll={({ currentTarget: { scrollTop, clientHeight } }) => {
            if (margin.current) margin.current.style.transform = `translateY(${-scrollTop}px)`
            const first = Math.floor(scrollTop / lineHeight)
            const last = first + Math.ceil(clientHeight / lineHeight)
            if (first < from || last > from + numbered) setFrom(Math.max(0, first - numbered / 2))
          }}
          onBlur={() => {
            leaving.current = false
          }}
          onKeyDown={(event) => {
            if (event.key === 'Escape') leaving.current = true
            else if (event.key === 'Tab' && !event.shiftKey && !leaving.current) {
              event.preventDefault()
              // The only way to put text in that the keys of the browser undo.
              document.execCommand('insertText', false, '  ')
            } else if (event.key !== 'Tab') leaving.current = false
          }}
        />
      </div>
      <p className="hidden" id={`${id}-keys`}>
        Tab indents; Escape and then Tab leads on.
      </p>
      {told && (
        <p className={failureOld ? 'failure old' : 'failure'} id={`${id}-problem`} role="alert">
          {place && (
            <button type="button" className="place" onClick={() => goTo(place.line)}>
              Line {place.line}, column {place.column}
            </button>
          )}{' '}
          <Sentence text={told.message} /> {told.help && <Sentence text={told.help} className="help" />}
        </p>
      )}
    </div>
  )
}
