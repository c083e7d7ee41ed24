import type { ReactNode, RefObject } from 'react'

interface SheetProps {
  readonly dialog: RefObject<HTMLDialogElement | null>
  readonly title: string
  readonly side: 'left' | 'right'
  readonly children: ReactNode
}

/** A pane that lies over the page until it is closed: by its button, Escape, or a press beside it. The focus stays inside. */
export function Sheet({ dialog, title, side, children }: SheetProps) {
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes every dialog
    <dialog
      ref={dialog}
      className={`sheet ${side}`}
      aria-label={title}
      onClick={({ target }) => target === dialog.current && dialog.current?.close()}
    >
      <div className="sheet-head">
        {title}
        <button type="button" className="quiet" aria-label={`Close ${title}`} onClick={() => dialog.current?.close()}>
          ✕
        </button>
      </div>
      {children}
    </dialog>
  )
}
