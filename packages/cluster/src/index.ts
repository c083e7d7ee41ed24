export { type Accelerator, acceleratorNames, resolveAccelerator } from './accelerator.js'
export { type Algorithm, type CollectiveOp, candidates, collectiveOps } from './algorithm.js'
export {
  type Cluster,
  clusterNames,
  clusterSources,
  fitWorld,
  type Level,
  resolveCluster,
  unitSizes,
} from './cluster.js'
export {
  busBandwidth,
  busFactor,
  type Collective,
  type CollectiveCost,
  collectiveCost,
  collectiveSeconds,
} from './collective.js'
export type { Dtype } from './data/record.js'
export {
  type AxisMapping,
  flatGroup,
  type Group,
  type GroupLevel,
  type GroupOptions,
  groupOver,
  mapAxes,
} from './group.js'
export { type Link, linkNames, linkSources, resolveLink } from './link.js'
export { parseBytes } from './quantity.js'
export { type Source, type SourceKey, sources } from './sources.js'
