import { useState } from 'react'

/** A line that can be copied. */
export function CopyText({ label, text }: { readonly label: string; readonly text: string }) {
  const [copied, setCopied] = useState('')
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      setCopied(text)
    } catch {
      setCopied('') // it can still be selected
    }
  }
  return (
    <div className="copy-text">
      <span className="note">{label}</span>
      <code>
        {text.split(' ').map((word, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: words of one line never move
          <span key={at}>{word} </span>
        ))}
      </code>
      <button type="button" className="quiet" onClick={copy} aria-label="Copy the command">
        {copied === text ? 'Copied' : 'Copy'}
      </button>
    </div>
  )
}
