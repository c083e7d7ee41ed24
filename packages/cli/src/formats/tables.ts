import { Option } from 'commander'
import { type TableName, type TableOptions, tableCsv, tableJson, tableNames } from 'shardloom'
import { type ExportFormat, onePlan } from './format.js'
import { partOption, shownRank } from './options.js'

const tableOption = new Option('--table <name>', 'csv and table: which one (default: nodes)').choices([...tableNames])

/** The node table or the communication table as CSV. */
export const csv = tableFormat('a CSV table', tableCsv, ['csv'])

/** The same as JSON. */
export const table = tableFormat('a JSON table', tableJson, [])

function tableFormat(title: string, write: typeof tableCsv, extensions: readonly string[]): ExportFormat {
  return {
    title,
    extensions,
    options: [tableOption, partOption, shownRank],
    make: async (call) => {
      const { program, operators, warnings } = await onePlan(call)
      const options: TableOptions = {
        ...(call.flags.table !== undefined && { table: call.flags.table as TableName }), // one of its choices
        ...(call.flags.rank !== undefined && { rank: call.flags.rank as number }), // parseRank
      }
      return { warnings, notice: '', chunks: write(program, operators, options) }
    },
  }
}
