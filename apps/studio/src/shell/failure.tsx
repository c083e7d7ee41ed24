import type { Failure } from '../worker/protocol.js'
import { goOn } from './use-job.js'

interface FailureProps {
  readonly failure: Failure
  /** Whether it is of what was there before. */
  readonly old?: boolean
}

/** An error in full: what was tried and why not, and what would work; what was stopped can go on. */
export function FailureText({ failure: { code, message, help }, old = false }: FailureProps) {
  return (
    <p className={old ? 'failure old' : 'failure'} role="alert">
      <Sentence text={message} /> {help && <Sentence text={help} className="help" />}{' '}
      {code === 'STOPPED' && (
        <button type="button" onClick={goOn}>
          Go on
        </button>
      )}
    </p>
  )
}

interface BannerProps {
  readonly failure: Pick<Failure, 'message' | 'help'>
  readonly onDismiss: () => void
}

/** Why something that was asked of the page was not done, until it is dismissed. */
export function Banner({ failure: { message, help }, onDismiss }: BannerProps) {
  return (
    <div className="banner" role="alert">
      <span>
        <Sentence text={message} /> {help && <Sentence text={help} className="help" />}
      </span>
      <button type="button" onClick={onDismiss}>
        Dismiss
      </button>
    </div>
  )
}

/** A sentence whose `names` stand in the letters of code. */
export function Sentence({ text, className = '' }: { readonly text: string; readonly className?: string }) {
  return (
    <span className={className}>
      {/* biome-ignore lint/suspicious/noArrayIndexKey: parts of one sentence never move */}
      {text.split('`').map((part, at) => (at % 2 === 1 ? <code key={at}>{part}</code> : part))}
    </span>
  )
}
