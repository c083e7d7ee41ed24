/** What the process returns. */
export const exitCode = { done: 0, badInput: 1, wrongUsage: 2, answerIsNo: 3, interrupted: 130 } as const
