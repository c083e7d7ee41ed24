/** Searches: questions that are asked in parts, and what the parts answer. */
export { type Answer, type Candidate, type Counts, type Keeping, type Miss, mergeAnswers } from '@shardloom/search'
export type { Limit, Question } from './search/question.js'
