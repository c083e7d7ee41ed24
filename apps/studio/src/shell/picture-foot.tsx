import type { ReactNode } from 'react'
import { useNarrow } from './use-narrow.js'

interface PictureFootProps {
  /** What is to be seen although the rest is folded. */
  readonly notice?: ReactNode
  readonly children: ReactNode
}

/** What the signs of a picture mean, below it; on a narrow screen a button opens that. */
export function PictureFoot({ notice, children }: PictureFootProps) {
  if (!useNarrow()) return <div className="picture-foot">{children}</div>
  return (
    <details className="picture-foot">
      <summary>Legend{notice && <> · {notice}</>}</summary>
      {children}
    </details>
  )
}
