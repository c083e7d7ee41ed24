import { useEffect, useRef, useState } from 'react'
import { type ConfigSource, configOf } from '../setup/config.js'
import { fieldsOf, isLong, withField } from '../state/spec-text.js'
import { Banner } from './failure.jsx'
import { isTyping } from './keys.jsx'
import { useStudio } from './studio.js'

/** Takes a `config.json` that is dropped anywhere on the page, or pasted where nobody types, as the model. */
export function TakeConfig() {
  const { variant, dispatch } = useStudio()
  const [over, setOver] = useState(false)
  const [problem, setProblem] = useState('')
  const text = useRef(variant.text)
  text.current = variant.text
  useEffect(() => {
    const take = async (file: ConfigSource) => {
      try {
        const model = await configOf(file)
        if (!fieldsOf(text.current))
          throw new Error(
            `${file.name} was not taken: the YAML of the plan ${isLong(text.current) ? 'is too long to put it in. Shorten' : 'cannot be read yet. Mend'} it or undo first.`,
          )
        dispatch({ type: 'edit', text: withField(text.current, ['model'], model), group: '' })
        setProblem('')
      } catch (error) {
        setProblem(error instanceof Error ? error.message : String(error))
      }
    }
    const hover = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes('Files')) return
      event.preventDefault()
      setOver(true)
    }
    const leave = (event: DragEvent) => event.relatedTarget === null && setOver(false)
    const drop = (event: DragEvent) => {
      setOver(false)
      const file = event.dataTransfer?.files[0]
      if (!file) return
      event.preventDefault()
      void take(file)
    }
    const paste = (event: ClipboardEvent) => {
      if (isTyping(event.target)) return
      const file = event.clipboardData?.files[0]
      const pasted = event.clipboardData?.getData('text/plain').trim() ?? ''
      if (file) void take(file)
      else if (pasted.startsWith('{'))
        void take({ name: 'What was pasted', size: pasted.length, text: async () => pasted })
    }
    addEventListener('dragover', hover)
    addEventListener('dragleave', leave)
    addEventListener('drop', drop)
    addEventListener('paste', paste)
    return () => {
      removeEventListener('dragover', hover)
      removeEventListener('dragleave', leave)
      removeEventListener('drop', drop)
      removeEventListener('paste', paste)
    }
  }, [dispatch])
  return (
    <>
      {over && <p className="drop-here">Drop a config.json: it becomes the model of this plan</p>}
      {problem && <Banner failure={{ message: problem }} onDismiss={() => setProblem('')} />}
    </>
  )
}
