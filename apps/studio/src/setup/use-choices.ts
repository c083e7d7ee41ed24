import { useEffect, useState } from 'react'
import { useStudio } from '../shell/studio.js'
import { desks } from '../worker/desk.js'
import type { Choice } from '../worker/protocol.js'

/** Which values fields may have beside the plan at hand, found out one after the other while nothing else happens to it. */
export function useChoices(paths: readonly string[]): ReadonlyMap<string, Choice> {
  const { text } = useStudio()
  const [choices, setChoices] = useState<ReadonlyMap<string, Choice>>(new Map())
  const list = paths.join(' ')
  useEffect(() => {
    if (text === undefined) return
    let live = true
    const ask = async () => {
      for (const path of list.split(' ')) {
        const choice = await desks.choices.ask('choices', { text, path })
        if (!live) return
        setChoices((known) => new Map([...known, [path, choice]]))
      }
    }
    ask().catch(() => {}) // dropped for a newer plan; what is not known is offered, and refused by the plan
    return () => {
      live = false
    }
  }, [text, list])
  return choices
}
