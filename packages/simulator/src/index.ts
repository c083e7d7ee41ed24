export { breakdown, type CriticalNode, criticalPath, type RankBreakdown } from './breakdown.js'
export { type Calibration, calibrate, calibrationWork, type Measurement } from './calibrate.js'
export { changeAxis, grownShape, iterationsOf } from './changes.js'
export {
  type CommunicationRow,
  type CommunicationSize,
  communicationBytes,
  communicationTable,
} from './communication-table.js'
export { measureFolded } from './edges.js'
export { type Efficiency, type EfficiencyRecord, efficiencyFields, efficiencyOf } from './efficiency.js'
export { type Engine, efficiencyOn, engineFrom, engines, findEngine, type KernelStyle } from './engine.js'
export { runEvents, type Times, type Work } from './event-loop.js'
export { attentionSeconds, type MatmulShape, matmulSeconds, type Rates } from './kernel-time.js'
export { choicesOf, isNamed, kernelClasses, kernelNames } from './kernels.js'
export { hostBandwidthOf, type Machine, machineOf, usualEngine } from './machine.js'
export {
  flopClassOf,
  measure,
  type RankMeasure,
} from './measure.js'
export { type MemoryCurve, type MemoryParts, memory, type PeakMemory, type RankMemory } from './memory.js'
export { type Meter, meterOf, type NodeMeasure } from './meter.js'
export { type NodeRow, nodeTable } from './node-table.js'
export { type NodeTime, type NodeTimes, nodeTimes, type Stream } from './node-time.js'
export { imbalance } from './points.js'
export { workOf } from './prepare.js'
export { ranksStoodFor, ranksToRun, representatives, unevenAtoms } from './ranks.js'
export { type Replication, replication } from './replication.js'
export { simulateRolled } from './rolled.js'
export { type PartCost, partCosts, type Sample, sampleOf } from './sample.js'
export type { HostCopies } from './sample-copies.js'
export { type SavedTensor, savedTensors } from './saved.js'
export { simulate, type Timeline } from './simulate.js'
export { type KnownSizes, nothingKnown } from './sized-kernels.js'
export {
  type StateCost,
  type StateMove,
  type StateSample,
  type StateShare,
  stateCosts,
  stateSampleOf,
} from './state-costs.js'
export { type RankStep, runStep, type Step, stepOf } from './step.js'
export { ticksPerSecond } from './ticks.js'
