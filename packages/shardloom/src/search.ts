/** Searches: questions that are asked in parts, and what the parts answer. */
export { type Answer, type Candidate, type Counts, type Keeping, type Miss, mergeAnswers } from '@shardloom/search'
export { type Choices, specWith, trainingChoices, type Value } from './search/choices.js'
export type { Limit, Question } from './search/question.js'
export { TrainingModel } from './search/training-model.js'
export { TrainingTree } from './search/training-tree.js'
export { trainingAnswers } from './search/training-answer.js'
