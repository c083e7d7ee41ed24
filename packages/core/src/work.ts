/** How far long work is: `done` of `of` parts of what `work` says. */
export interface Progress {
  readonly work: string
  readonly done: number
  readonly of: number
}

/** Long work that can be stopped, or left for a while, wherever it says how far it is. */
export type Work<Result> = Generator<Progress, Result>

/** Does all of a work at once. */
export function finish<Result>(work: Work<Result>): Result {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
  }
}
