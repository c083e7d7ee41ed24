import type { PluginRule, Violation } from '@shardloom/core'
import { checkTransfers, readTransferLists } from '@shardloom/schedules'

/**
 * The part of rule 4 that a pipeline's lists decide: run on one blocking stream per rank, in order, every send meets its
 * recv and no rank waits for ever. Names the ranks and actions that wait or do not match.
 */
export const checkLists: PluginRule = {
  name: 'sends and receives of the pipeline run in order on one stream per rank',
  rule: 4,
  check({ pipeline, phase }) {
    if (!pipeline || phase !== 'training' || pipeline.actions.length === 0) return { checked: 0, violations: [] }
    const report = checkTransfers(readTransferLists(pipeline.actions.join('\n')), 'in-order')
    const checked = pipeline.actions.reduce((sum, list) => sum + list.split(',').length, 0)
    const violations = report.problems.map(({ message }): Violation => {
      return {
        node: `${pipeline.axis} ${pipeline.schedule}`,
        message,
        help: 'Let `sendsAndReceives` of @shardloom/schedules make the lists.',
      }
    })
    return { checked, violations }
  },
}
