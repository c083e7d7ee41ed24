export { type EnginePreset, engineNames, findEngine, type HostCost } from './presets.js'
export type { EngineStep, Scheduler, StepCost } from './scheduler.js'
export {
  type Deployment,
  type Pool,
  type PoolUsage,
  type ServedRequest,
  type ServingResult,
  servingWork,
  simulateServing,
} from './simulate-serving.js'
export { type Spread, spreadOf } from './statistics.js'
export { type Length, makeRequests, mostRequests, type Request, type RequestMix, type Workload } from './workload.js'
