/** A mistake in what the command was given: what is wrong, and what would work. */
export class Refusal extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly help: string,
  ) {
    super(message)
  }
}

/** A mistake in how the command was called. */
export class UsageRefusal extends Refusal {
  constructor(message: string) {
    super('USAGE', message, 'Run `create-strategy --help`.')
  }
}
