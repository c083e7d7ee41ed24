import { basename, extname } from 'node:path'
import { promisify } from 'node:util'
import { deflateRaw } from 'node:zlib'
import type { Command } from 'commander'
import { isModelPath, type LoadedSpec, specText } from 'shardloom'
import { exitCode } from './exit-code.js'
import type { Call } from './io.js'
import { printJson } from './output.js'
import { UsageError } from './report-error.js'
import { untilInterrupted, whenAborted } from './search/interrupt.js'
import { addSpecFlags, type Flags, loadFrom } from './spec-flags.js'
import { serveStudio } from './view-server.js'

/** `shardloom view`: the studio in a browser, with the plan of a spec. */
export function addView(program: Command, { io, finish }: Call): void {
  const command = program
    .command('view [spec]')
    .description('Serve the studio to this machine alone, with the spec opened in it, until interrupted.')
    .option('--port <port>', 'where to listen (default: any free port)', parsePort)
    .option('--json', 'print one JSON document (shardloom.studio/1) with the address')
    .addHelpText(
      'after',
      '\nExample:\n  shardloom view --model llama-3.1-8b --cluster dgx-h100 --tp 2 --dp 2 --batch 8',
    )
    .action(async (specPath: string | undefined, flags: Flags) => {
      const loaded = await loadFrom(io, specPath, flags)
      const name =
        specPath === undefined || specPath === '-' ? loaded.architecture.name : basename(specPath, extname(specPath))
      const fragment = await fragmentOf(name.slice(0, 80), textOf(loaded))
      const server = await serveStudio((flags.port as number | undefined) ?? 0) // parsePort
      const address = `${server.origin}/#${fragment}`
      if (flags.json === true) printJson(io, { schema: 'shardloom.studio/1', address })
      else io.stdout.write(`${address}\n`)
      await untilInterrupted(whenAborted)
      await server.close()
      finish(exitCode.done)
    })
  addSpecFlags(command)
}

/** The spec as the studio reads it, which opens no files: a model from a file stands in it. */
function textOf({ spec, architecture }: LoadedSpec): string {
  const fromFile = typeof spec.model === 'string' && isModelPath(spec.model)
  return specText(fromFile ? { ...spec, model: { ...architecture } } : spec)
}

/** The state of the studio that its links hold: JSON, deflated, in the 64 characters that URLs leave as they are. */
async function fragmentOf(name: string, text: string): Promise<string> {
  const graph = { level: 'layer', toggled: [], unroll: [] }
  const state = { variants: [{ name, text }], active: 0, view: 'graph', graph }
  return `1.${(await promisify(deflateRaw)(JSON.stringify(state))).toString('base64url')}`
}

function parsePort(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65_535) return port
  throw new UsageError(
    `\`${text.slice(0, 20)}\` is no port.`,
    'Give a number up to 65535, or leave --port out for any free one.',
  )
}
