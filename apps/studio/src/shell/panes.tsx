import { useRef } from 'react'
import { Inspector } from '../graph/inspector.jsx'
import { Guide } from '../learn/guide.jsx'
import { SetUp } from '../setup/set-up.jsx'
import { Sheet } from './sheet.jsx'
import { useStudio } from './studio.js'
import { useNarrow } from './use-narrow.js'
import { Views } from './views.jsx'

/** The views between set-up and inspector; where there is no room for these, they are sheets that buttons open, and a guide is read below. */
export function Panes() {
  const narrow = useNarrow()
  const { state, inspected, failure } = useStudio()
  const setUp = useRef<HTMLDialogElement>(null)
  const inspector = useRef<HTMLDialogElement>(null)
  const guide = state.learn && <Guide learn={state.learn} />
  if (!narrow)
    return (
      <div className="panes">
        {guide ?? <SetUp />}
        <Views />
        <Inspector />
      </div>
    )
  const selected = state.selection !== undefined && !inspected.stale ? inspected.answer?.title : undefined
  return (
    <div className="panes narrow">
      <div className="sheet-buttons">
        {!guide && (
          <button type="button" aria-haspopup="dialog" onClick={() => setUp.current?.showModal()}>
            Set-up{failure && failure.code !== 'STOPPED' && ' (to be corrected)'}
          </button>
        )}
        <button type="button" aria-haspopup="dialog" onClick={() => inspector.current?.showModal()}>
          Inspector{selected !== undefined && `: ${selected}`}
        </button>
      </div>
      <Views />
      {guide ?? (
        <Sheet dialog={setUp} title="Set-up" side="left">
          <SetUp />
        </Sheet>
      )}
      <Sheet dialog={inspector} title="Inspector" side="right">
        <Inspector />
      </Sheet>
    </div>
  )
}
