/** Searches: questions that are asked in parts, what the parts answer, and what comes of the best of them. */
export { type Answer, type Candidate, type Counts, type Keeping, type Miss, mergeAnswers } from '@shardloom/search'
export {
  answersOf,
  changesOfSpec,
  type FromSpec,
  fixesOf,
  pointOf,
  questionOf,
  rerankWork,
  type SearchOptions,
  specOfCandidate,
} from './search/ask.js'
export { type Choices, trainingChoices, type Value } from './search/choices.js'
export type { Limit, Question } from './search/question.js'
export { type ServingMetric, servingMetricTable, servingObjectives } from './search/serving-metrics.js'
export type { SimulatedCandidate } from './search/serving-rerank.js'
export { limitName, trainingMetricTable } from './search/training-metrics.js'
export { type Change, isMiss } from './search/training-points.js'
export { TrainingTree } from './search/training-tree.js'
