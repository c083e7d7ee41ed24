export type { Answer, Candidate, Counts, Keeping, Miss } from './answer.js'
export {
  type Balance,
  type BalancedStage,
  balanceEqualLayers,
  balanceStages,
  layerSums,
  type StageCost,
  type StageProblem,
} from './balance.js'
export { BestList, compareCandidates } from './best-list.js'
export { type ChoiceTree, explore, type Findings, nearlyKept, type Rejection } from './branch-and-bound.js'
export { type FactorAxis, factorisations } from './factorisations.js'
export { Front } from './front.js'
export { emptyAnswer, keepMiss, type Misses, mergeAnswers, sortMisses } from './merge.js'
