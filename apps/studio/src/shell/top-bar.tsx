import { useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { searching } from '../search/search-run.js'
import { writeFragment } from '../state/fragment.js'
import { Dropped, JobError } from '../worker/desk.js'
import type { Failure } from '../worker/protocol.js'
import { exportGroups, pictureFormats } from './export-formats.js'
import { Keys } from './keys.jsx'
import { pictureOf } from './picture-of.js'
import { ProgressStop } from './progress.jsx'
import { type SaveRequest, save } from './save.js'
import { useStudio } from './studio.js'
import { tooLong } from './use-link.js'
import { Variants } from './variants.jsx'

interface TopBarProps {
  readonly onTheme: () => void
  /** What could not be saved or shared, and why; undefined once something else is. */
  readonly onFailure: (failure: Failure | undefined) => void
}

/** The bar at the top: whose plan it is, what can be undone, shared and saved, and the theme. */
export function TopBar({ onTheme, onFailure }: TopBarProps) {
  const { history, dispatch, state, theme } = useStudio()
  const [said, say] = useSaid()
  const share = async () => {
    const fragment = await writeFragment(state)
    if (fragment === undefined) return onFailure(tooLong)
    try {
      await navigator.clipboard.writeText(`${location.href.split('#')[0]}#${fragment}`)
      say('Link copied')
    } catch {
      location.hash = fragment
      say('The address of this page is the link')
    }
  }
  return (
    <header className="top-bar">
      <h1>Shardloom</h1>
      <Variants />
      <div className="spacer" />
      <ProgressStop />
      <span className="said" role="status">
        {said}
      </span>
      <button
        type="button"
        className="quiet"
        aria-label="Undo"
        title="Undo (Ctrl+Z)"
        disabled={history.past.length === 0}
        onClick={() => dispatch({ type: 'undo' })}
      >
        ↶
      </button>
      <button
        type="button"
        className="quiet"
        aria-label="Redo"
        title="Redo (Ctrl+Shift+Z)"
        disabled={history.future.length === 0}
        onClick={() => dispatch({ type: 'redo' })}
      >
        ↷
      </button>
      <button type="button" onClick={share} title="Copies a link that holds the whole plan">
        Share
      </button>
      <ExportMenu say={say} onFailure={onFailure} />
      <button
        type="button"
        className="quiet"
        onClick={onTheme}
        aria-label={theme === 'light' ? 'Dark theme' : 'Light theme'}
        title={theme === 'light' ? 'Dark theme' : 'Light theme'}
      >
        {theme === 'light' ? '☾' : '☀'}
      </button>
      <Keys />
    </header>
  )
}

/** A short message, which goes by itself. */
function useSaid(): readonly [string, (text: string) => void] {
  const [said, say] = useState('')
  useEffect(() => {
    if (!said) return
    const timer = setTimeout(() => say(''), 6000)
    return () => clearTimeout(timer)
  }, [said])
  return [said, say]
}

function ExportMenu({ say, onFailure }: Pick<TopBarProps, 'onFailure'> & { readonly say: (text: string) => void }) {
  const { state, variant, source, theme, onScreen } = useStudio()
  const menu = useRef<HTMLDetailsElement>(null)
  const run = useSyncExternalStore(searching.subscribe, searching.run)
  const shown = () => pictureOf({ state, source, drawn: onScreen.current, run })
  const none = shown()
  const make = async (request: SaveRequest, title: string) => {
    menu.current?.removeAttribute('open')
    say(`Making ${title} …`)
    onFailure(undefined)
    try {
      const notes = await save(request)
      say([`${title} saved`, ...notes].join(' · '))
    } catch (error) {
      say('')
      if (error instanceof JobError) onFailure(error.failure)
      else if (!(error instanceof Dropped))
        onFailure({ code: 'EXPORT', message: error instanceof Error ? error.message : String(error) })
    }
  }
  return (
    <details
      className="menu"
      ref={menu}
      onKeyDown={({ key }) => key === 'Escape' && menu.current?.removeAttribute('open')}
      onBlur={({ relatedTarget, currentTarget }) => {
        if (relatedTarget && !currentTarget.contains(relatedTarget)) currentTarget.removeAttribute('open')
      }}
    >
      <summary className="button">Export</summary>
      <div className="menu-list">
        <fieldset disabled={typeof none === 'string'}>
          <legend>This view</legend>
          {typeof none === 'string' && <p className="note">{none}</p>}
          {pictureFormats.map(([format, label]) => (
            <button
              key={format}
              type="button"
              onClick={() => {
                const picture = shown()
                if (typeof picture !== 'string') void make({ format, name: variant.name, picture, theme }, label)
              }}
            >
              {label}
            </button>
          ))}
        </fieldset>
        {exportGroups.map(({ title, formats }) => (
          <fieldset key={title} disabled={source === undefined}>
            <legend>{title}</legend>
            {formats.map(([format, label]) => (
              <button
                key={format}
                type="button"
                onClick={() => source && make({ format, name: variant.name, source }, label)}
              >
                {label}
              </button>
            ))}
          </fieldset>
        ))}
      </div>
    </details>
  )
}
