/** What the process returns; 130 (interrupted) is the shell's. */
export const exitCode = { done: 0, badInput: 1, wrongUsage: 2, answerIsNo: 3 } as const
