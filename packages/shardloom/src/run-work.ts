import type { Progress, Work } from '@shardloom/core'

/** What {@link runWork} may be told. */
export interface WorkOptions {
  /** An AbortSignal: where it is aborted the work ends, and its reason is thrown. */
  readonly signal?: { readonly aborted: boolean; readonly reason?: unknown }
  /** Hears how far the work is, as often as it says so. */
  readonly progress?: (progress: Progress) => void
}

/** Milliseconds after which other things of the same thread have their turn. */
const slice = 30

const { setTimeout } = globalThis as unknown as { setTimeout: (done: () => void, milliseconds: number) => void }

/**
 * Does work piece by piece, so that the page or the server around it stays alive and may stop it. Rejects with the reason of the
 * signal, and with what the work throws.
 */
export async function runWork<Result>(work: Work<Result>, options: WorkOptions = {}): Promise<Result> {
  const { signal, progress } = options
  let since = Date.now()
  for (;;) {
    if (signal?.aborted) {
      work.return(undefined as never) // its result is never read
      throw signal.reason
    }
    const step = work.next()
    if (step.done) return step.value
    progress?.(step.value)
    if (Date.now() - since < slice) continue
    await new Promise<void>((resolve) => setTimeout(resolve, 0))
    since = Date.now()
  }
}
