/** Waits until all have ended. The first that fails has the others stopped, and is what is thrown. */
export async function settleAll(works: readonly Promise<unknown>[], stop: () => Promise<void>): Promise<void> {
  try {
    await Promise.all(works)
  } finally {
    await stop()
    await Promise.allSettled(works)
  }
}
