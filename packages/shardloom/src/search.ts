/** Searches: questions that are asked in parts, what the parts answer, and what comes of the best of them. */
export {
  type Answer,
  type Candidate,
  type Counts,
  emptyAnswer,
  type Keeping,
  type Miss,
  mergeAnswers,
} from '@shardloom/search'
export { fewRequests } from './few-requests.js'
export { type Answering, nextStart, type Start, startOf } from './search/answering.js'
export {
  answersOf,
  changesOfSpec,
  type FromSpec,
  fixesOf,
  pointOf,
  questionOf,
  rerankWork,
  type SearchOptions,
  simulatedWork,
  simulationOf,
  specOfCandidate,
} from './search/ask.js'
export { type AskedSearch, askedOptions } from './search/asked-options.js'
export { type ChoiceValues, choicesText, readChoice, readPoint, stepChoiceNames } from './search/choice-text.js'
export {
  type Choices,
  schedulesWith,
  stepChoices,
  untriedChoices,
  usualSchedules,
  type Value,
} from './search/choices.js'
export type { SearchProgress } from './search/findings.js'
export { estimatedText, fitsText, fixText, missedByText, placeOf } from './search/fix-text.js'
export { type FrontPoint, frontPoints } from './search/front-points.js'
export {
  isRuleOf,
  limitName,
  limitText,
  type MetricUnit,
  metricText,
  missText,
  readLimit,
  rejectionText,
  ruleText,
  unitOf,
} from './search/limit-text.js'
export { bestWithKept, mayKeep } from './search/may-keep.js'
export { betterOf, metricHead, shownMetrics } from './search/metric-text.js'
export {
  type Asked,
  type Distance,
  distanceToBest,
  estimatedOnly,
  type Fix,
  type NearMiss,
  nearMissesOf,
  tieError,
  withOutcomes,
} from './search/near-misses.js'
export type { Limit, Question } from './search/question.js'
export { type ServingMetric, servingMetricTable, servingObjectives } from './search/serving-metrics.js'
export { servingChoices } from './search/serving-space.js'
export { type MeanLoad, meanLoadOf } from './search/serving-steps.js'
export {
  bestOf,
  isCapped,
  keepsAll,
  mayComeFirst,
  type SimulatedBest,
  type SimulatedCandidate,
} from './search/simulate-best.js'
export { type StepPhase, stepMetrics } from './search/step-metrics.js'
export { type Change, isMiss } from './search/step-points.js'
export { StepTree } from './search/step-tree.js'
export { whyNone } from './search/why-none.js'
export { breakdownDifference, type StepBreakdown } from './step-breakdown.js'
