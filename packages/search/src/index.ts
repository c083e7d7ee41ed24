export type { Answer, Candidate, Counts, Keeping, Miss } from './answer.js'
export { BestList, compareCandidates } from './best-list.js'
export { Front } from './front.js'
export { emptyAnswer, mergeAnswers } from './merge.js'
