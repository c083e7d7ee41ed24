export { type Block, shardPositions } from './block.js'
export {
  checkPass,
  type PassCheckContext,
  type PassFixture,
  type PassLaw,
  type PassReport,
  passLaws,
} from './check-pass.js'
export {
  compareRuns,
  type Difference,
  type Equivalence,
  type Reference,
  runReference,
  tolerance,
} from './equivalence.js'
export { defaultLimit, type Estimate, estimate } from './estimate.js'
export { type InitialValue, perTensor, usualValues } from './initial-values.js'
export { type Interpretation, type InterpretOptions, interpret } from './interpret.js'
export type { Iterations } from './iterations.js'
export {
  type Mutation,
  type MutationCount,
  type MutationKind,
  type MutationReport,
  mutationReport,
  mutations,
} from './mutate.js'
export { outsideValues } from './outside.js'
export { type ProgramDefaults, parseProgram } from './parse-program.js'
export { printProgram } from './print-program.js'
