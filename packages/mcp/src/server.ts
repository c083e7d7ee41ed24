import { type CallToolResult, McpServer, type StandardSchemaWithJSON } from '@modelcontextprotocol/server'
import { resources } from './resources.js'
import type { Tool } from './tool.js'
import { tools } from './tools.js'
import { version } from './version.js'
import type { Workers } from './workers.js'

const instructions = `Shardloom plans how a model runs on many accelerators as an explicit graph, and simulates it in time.
From a question to an answer: list_models and describe_cluster say what there is; write a spec (model, cluster, phase, batch, seq, parallel), or give the flags that the user has as \`launch\`; simulate tells time and whether it fits; compare ranks candidates; verify checks the graph of the best; explain says why a node exists; export draws it, or writes the flags that start it.
The phases training, prefill, decode and serving are different graphs. Results are cut to some 10,000 tokens: truncated[].next is what to give as \`more\`. An error says in \`help\` what would work.`

/** Makes a server with all tools and resources; calls run in threads. */
export function makeServer(workers: Workers): McpServer {
  const server = new McpServer({ name: 'shardloom', title: 'Shardloom', version: version() }, { instructions })
  for (const tool of tools) {
    const { name, title, description, writes = false } = tool
    const config = {
      title,
      description,
      inputSchema: unchecked(tool),
      outputSchema: tool.output,
      annotations: { readOnlyHint: !writes, destructiveHint: writes, idempotentHint: true, openWorldHint: false },
    }
    server.registerTool(name, config, async (input, { mcpReq }): Promise<CallToolResult> => {
      const outcome = await workers.call({ name, input }, mcpReq.signal)
      if ('error' in outcome) return { isError: true, content: [textOf({ error: outcome.error })] }
      return { content: [textOf(outcome.result)], structuredContent: { ...outcome.result } }
    })
  }
  for (const { uri, name, title, description, mimeType, read } of resources)
    server.registerResource(name, uri, { title, description, mimeType }, async () => ({
      contents: [{ uri, mimeType, text: await read() }],
    }))
  return server
}

/** The schema of a tool's arguments for clients to read; `runTool` checks them, with errors that say what would work. */
function unchecked({ input }: Tool): StandardSchemaWithJSON {
  const standard = input['~standard'] as StandardSchemaWithJSON['~standard'] // zod has both halves
  return { '~standard': { ...standard, validate: (value) => ({ value }) } }
}

const textOf = (value: object) => ({ type: 'text' as const, text: JSON.stringify(value) })
