import { useState } from 'react'
import { useStudio } from '../shell/studio.js'
import { fieldsOf, isLong } from '../state/spec-text.js'
import { SpecForm } from './spec-form.jsx'
import { YamlEditor } from './yaml-editor.jsx'

/** The left pane: the spec as a form or as YAML, both of the same text. */
export function SetUp() {
  const { variant } = useStudio()
  const [as, setAs] = useState<'form' | 'yaml'>('form')
  const fields = fieldsOf(variant.text)
  return (
    <aside className="set-up" aria-label="Set-up">
      <div className="tabs" role="tablist" aria-label="The spec as">
        {(['form', 'yaml'] as const).map((name) => (
          <button
            key={name}
            type="button"
            role="tab"
            aria-selected={as === name}
            aria-controls="spec"
            id={`spec-${name}`}
            onClick={() => setAs(name)}
          >
            {name === 'form' ? 'Form' : 'YAML'}
          </button>
        ))}
      </div>
      <div className="spec" role="tabpanel" id="spec" aria-labelledby={`spec-${as}`}>
        {as === 'yaml' || !fields ? (
          <>
            {as === 'form' && (
              <p className="note">
                {isLong(variant.text)
                  ? 'This text is too long for the form; the plan is made of it all the same.'
                  : 'The form shows a spec that can be read; this text cannot yet.'}
              </p>
            )}
            <YamlEditor />
          </>
        ) : (
          <SpecForm fields={fields} />
        )}
      </div>
    </aside>
  )
}
