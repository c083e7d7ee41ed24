/**
 * A user's mistake, with a stable code and a sentence that says what would work. It has the shape of the error of
 * `@shardloom/core`, on which this package does not depend: `isShardloomError` of core recognises it.
 */
export class ScheduleError extends Error {
  override readonly name = 'ShardloomError'
  /** What would work instead: one sentence. */
  readonly help: string | undefined
  /** What the error is about, such as an option, an action or a rank. */
  readonly subject: string | undefined

  constructor(
    /** Stable, upper-case words joined by `_`, such as `BAD_SCHEDULE_SIZE`. */
    readonly code: string,
    message: string,
    details: { readonly help?: string; readonly subject?: string } = {},
  ) {
    super(message)
    this.help = details.help
    this.subject = details.subject
  }
}

/** A value from outside, short enough for a message. */
export function quote(value: unknown): string {
  const text = String(value).replace(/\p{C}/gu, '\uFFFD')
  return `\`${text.length > 40 ? `${text.slice(0, 40)}…` : text}\``
}
