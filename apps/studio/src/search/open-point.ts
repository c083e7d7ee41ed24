import { useCallback, useState } from 'react'
import { useStudio } from '../shell/studio.js'
import { mostVariants } from '../state/studio-state.js'
import type { FoundPoint } from './jobs.js'

/** Opens what was found as a variant of its own, which can be undone; what there is to say about that stands beside. */
export function useOpenPoint(of: string): readonly [open: (point: FoundPoint) => void, said: string] {
  const { state, dispatch } = useStudio()
  const [said, say] = useState('')
  const { variants } = state
  const open = useCallback(
    (point: FoundPoint) => {
      const known = variants.findIndex(({ text }) => text === point.text)
      if (known >= 0) {
        dispatch({ type: 'variants', variants, active: known })
        return say(`“${variants[known]?.name}” is this plan already, and is open now.`)
      }
      if (variants.length >= mostVariants)
        return say(`A page has ${mostVariants} plans at most: put one away with ✕ at the top, then open this one.`)
      const name = `${of.split(' · ')[0]?.slice(0, 24)} · ${degreesOf(point.name)}`.slice(0, 80)
      dispatch({ type: 'variants', variants: [...variants, { name, text: point.text }], active: variants.length })
      say(`“${name}” is open beside the others. Undo takes it away.`)
    },
    [variants, dispatch, of],
  )
  return [open, said]
}

/** What of the choices are numbers, which tell plans apart in little room. */
function degreesOf(choices: string): string {
  const all = choices.split(/\s\s+/)
  const counted = all.filter((choice) => /^[\w.]+ \d+$/.test(choice))
  return (counted.length > 0 ? counted : all).slice(0, 5).join(' ')
}
