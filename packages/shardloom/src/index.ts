export { clusterNames } from '@shardloom/cluster'
export {
  type EdgeKind,
  finish,
  isShardloomError,
  type NodeKind,
  nearest,
  type Pass,
  type Plugin,
  type Program,
  type Progress,
  programFromJson,
  programToJson,
  type RuleReport,
  ShardloomError,
  type Violation,
  type Work,
} from '@shardloom/core'
export {
  createView,
  cutMiddle,
  cutMiddles,
  type DotOptions,
  formatBytes,
  formatCount,
  formatCounted,
  formatDifference,
  formatFlops,
  formatMesh,
  formatQuantity,
  formatSeconds,
  formatShare,
  type Level,
  levels,
  type MermaidOptions,
  measures,
  readableLimits,
  themes,
  toDot,
  toGraphlib,
  toJsonText,
  toMermaid,
  type UnrollAxis,
  unrollAxes,
  type View,
  type ViewOptions,
  type Write,
  writeDot,
} from '@shardloom/exporters'
export { chromeTrace } from '@shardloom/exporters/chrome-trace'
export { type GraphmlOptions, graphml } from '@shardloom/exporters/graphml'
export { type TableName, type TableOptions, tableCsv, tableJson, tableNames } from '@shardloom/exporters/tables'
export { fromHuggingFace, type ModelArchitecture, presetNames } from '@shardloom/models'
export { engineNames as servingEngineNames } from '@shardloom/serving'
export { engines } from '@shardloom/simulator'
export type { ActivationSummary } from './activations.js'
export {
  type CalibrationSummary,
  calibrateSpecs,
  calibrationOfSpecsWork,
  type MeasuredSpec,
} from './calibrate-specs.js'
export { clusterOf } from './cluster-of.js'
export { type Compared, type ComparedMetric, type Comparison, compare, type Difference } from './compare.js'
export { dataAddress, isDataAddress } from './data-address.js'
export { decimal } from './decimal.js'
export { type ClusterNames, type ClusterSummary, describeCluster, knownClusters } from './describe-cluster.js'
export { describeModel, type ModelSummary, presetModels } from './describe-model.js'
export { type ServingSimulationSummary, summariseServingSimulation } from './describe-serving.js'
export { errorNaming } from './error-naming.js'
export { type ExplainedCommunication, type ExplainedTensor, type Explanation, explain } from './explain.js'
export { explainPasses, type PassExplanation, type PassesExplanation } from './explain-passes.js'
export { formatMetric, metricName } from './format-metric.js'
export { formatWholeBytes } from './format-whole-bytes.js'
export { type CommunicationRule, communicationRules, type StrategySummary, strategies } from './generation-rules.js'
export { type Hybrid, hybrids } from './hybrids.js'
export type { EfficiencyFile } from './load-efficiency.js'
export { isModelPath, type ReadText } from './load-model.js'
export type { ImportPlugin } from './load-plugins.js'
export { checkSpec, parseSpec, readSpecText } from './parse-spec.js'
export { type LoadedSpec, loadSpec, type PassRecord, type Plan, type PlanAccess, plan, planLoaded } from './plan.js'
export { type CacheTransfer, type Handover, type PoolCache, planCaches } from './plan-caches.js'
export { type Held, planTransfer, type Transfer } from './plan-transfer.js'
export { type PlacedRecord, readPlacedRecords, readRecords, type TableRecord } from './read-records.js'
export { runWork, type WorkOptions } from './run-work.js'
export type { PlannedSpec } from './sequence.js'
export { planServing, planServingLoaded, type ServingPlan, type ServingSpecs, servingSpecs } from './serving.js'
export { type SimulateOptions, type Simulation, simulateLoaded, timedPlan } from './simulate-plan.js'
export {
  prepareServing,
  type ServingPool,
  type ServingSimulation,
  type StepShares,
  servingSimulationWork,
  simulateServingLoaded,
} from './simulate-serving.js'
export { type SpecField, specFields } from './spec-fields.js'
export { type Spec, type SpecInput, specJsonSchema } from './spec-schema.js'
export { specText } from './spec-text.js'
export { type StageMemory, type StepFigures, stepFigures } from './step-figures.js'
export { type CommunicationSummary, type PlanSummary, type SummaryOptions, summarise } from './summarise.js'
export { type ServingSummary, summariseServing, type TransferSummary } from './summarise-serving.js'
export {
  type SimulationSummary,
  type SimulationSummaryOptions,
  simulationSummaryWork,
  summariseSimulation,
} from './summarise-simulation.js'
export { type Verification, verifyPlan } from './verify-plan.js'
export { noticeable, type WhatIf, type WhatIfPair } from './what-if.js'
