import { graphml as graphmlText } from 'shardloom'
import { type ExportFormat, onePlan } from './format.js'
import { limitOption, partOption, ranksOf, ranksOption, shownRank, unrollOption } from './options.js'

/** GraphML: every operator a node, for Gephi, yEd and networkx. */
export const graphml: ExportFormat = {
  title: 'GraphML',
  extensions: ['graphml'],
  options: [unrollOption, partOption, shownRank, ranksOption, limitOption],
  help: `
Of graphml, --unroll rank writes all ranks, or those of --ranks; without, one
rank of each stage, or that of --rank. --limit is a million nodes.`,
  make: async (call) => {
    const { program, operators, warnings } = await onePlan(call)
    const { rank, limit } = call.flags
    const axes = (call.flags.unroll as string[] | undefined) ?? [] // parseUnroll
    const [first, last] = ranksOf(call.flags, program.mesh.world)
    const several = axes.includes('rank') || call.flags.ranks !== undefined
    const ranks = several ? Array.from({ length: last - first + 1 }, (_, at) => first + at) : undefined
    const options = {
      unroll: axes.filter((axis) => axis !== 'rank'),
      ...(ranks ? { ranks } : rank !== undefined && { ranks: [rank as number] }), // parseRank
      ...(limit !== undefined && { limit: limit as number }), // parseLimit
    }
    return { warnings, notice: '', chunks: graphmlText(program, operators, options) }
  },
}
