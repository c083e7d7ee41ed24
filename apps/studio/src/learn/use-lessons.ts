import { useEffect, useState } from 'react'
import { loadScript } from '../load-script.js'
import type { Failure } from '../worker/protocol.js'

type Content = typeof import('./lessons.js')

let loading: Promise<Content> | undefined

/** The guided pages, whose script is loaded when they are first asked for; why not, where it cannot be. */
export function useLessons(): { readonly content?: Content; readonly failure?: Failure } {
  const [state, setState] = useState<{ readonly content?: Content; readonly failure?: Failure }>({})
  useEffect(() => {
    let live = true
    loading ??= load()
    loading.then(
      (content) => live && setState({ content }),
      (error: unknown) => {
        loading = undefined
        const message = error instanceof Error ? error.message : String(error)
        if (live) setState({ failure: { code: 'LESSONS', message: `The guided pages are not there: ${message}` } })
      },
    )
    return () => {
      live = false
    }
  }, [])
  return state
}

async function load(): Promise<Content> {
  await loadScript('lessons.js')
  const { shardloomLessons } = globalThis as { shardloomLessons?: Content } // what the script sets
  if (!shardloomLessons) throw new Error("lessons.js is none of the studio's.")
  return shardloomLessons
}
