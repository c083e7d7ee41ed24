import type { Tool } from './tool.js'
import { compareSpecs } from './tools/compare.js'
import { describeClusterTool } from './tools/describe-cluster.js'
import { explainTool } from './tools/explain.js'
import { exportTool } from './tools/export.js'
import { listModels } from './tools/list-models.js'
import { planTool } from './tools/plan.js'
import { searchTool } from './tools/search.js'
import { simulateTool } from './tools/simulate.js'
import { verifyTool } from './tools/verify.js'

/** Every tool of the server, in the order in which it lists them. A further one is one entry more. */
export const tools: readonly Tool[] = [
  listModels,
  describeClusterTool,
  planTool,
  verifyTool,
  explainTool,
  simulateTool,
  compareSpecs,
  searchTool,
  exportTool,
]
