export type { Answer, Candidate, Counts, Keeping, Miss } from './answer.js'
export { mergeAnswers } from './merge.js'
