export {
  type CommunicationRow,
  type CommunicationSize,
  communicationBytes,
  communicationTable,
} from './communication-table.js'
export { measureFolded } from './edges.js'
export {
  changeAxis,
  flopClassOf,
  grownShape,
  iterationsOf,
  type Meter,
  measure,
  meterOf,
  type NodeMeasure,
  type RankMeasure,
} from './measure.js'
export { imbalance } from './points.js'
export { type Replication, replication } from './replication.js'
export { type SavedTensor, savedTensors } from './saved.js'
