import { basename, extname } from 'node:path'
import { promisify } from 'node:util'
import { deflateRaw } from 'node:zlib'
import type { Command } from 'commander'
import {
  dataAddress,
  isDataAddress,
  isModelPath,
  type LoadedSpec,
  readSpecText,
  ShardloomError,
  type Spec,
  specText,
} from 'shardloom'
import { exitCode } from './exit-code.js'
import type { Call } from './io.js'
import { printJson } from './output.js'
import { readTextFile } from './read-file.js'
import { UsageError } from './report-error.js'
import { untilInterrupted, whenAborted } from './search/interrupt.js'
import { addSpecFlags, type Flags, loadFrom, pathFinder } from './spec-flags.js'
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
      const found = pathFinder(io, specPath, flags)
      const read = (path: string) => readTextFile(io, found(path), path)
      const fragment = await fragmentOf(name.slice(0, 80), await textOf(loaded, read))
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

/** The longest spec that the page takes from a link, and its longest line, in UTF-16 code units, and its most lines. */
const longestText = 200_000
const longestLine = 20_000
const mostLines = 5000

/**
 * The spec as the studio reads it, which opens no files: models and clusters stand in it as objects, all other files as addresses that
 * hold them. Throws `PLUGIN` for code, which no page is given, and `STUDIO` for what is too long for a link.
 */
async function textOf({ spec, architecture }: LoadedSpec, read: (path: string) => Promise<string>): Promise<string> {
  const [plugin] = spec.plugins
  if (plugin !== undefined)
    throw new ShardloomError('PLUGIN', `The studio runs no plugins, and the spec has ${plugin.slice(0, 80)}.`, {
      subject: 'plugins',
      help: 'Leave it out to see the rest, or have `shardloom export --format html` draw the plan as it is.',
    })
  const { model, cluster, options, ...rest } = spec
  const { serving, efficiency, schedule, ...others } = options
  const isFile = (path: unknown): path is string =>
    typeof path === 'string' && isModelPath(path) && !isDataAddress(path)
  const object = async (named: Spec['cluster']) =>
    isFile(named) ? (readSpecText(await read(named), named) as Spec['cluster']) : named // loading it has checked it
  const whole = async (path: string | undefined, isPath: boolean) =>
    path !== undefined && isPath && !isDataAddress(path) ? dataAddress(await read(path), basename(path)) : path
  const pool = async ({ cluster: own, ...pool }: Spec['options']['serving']['prefill']) => {
    const named = await object(own)
    return { ...pool, ...(named !== undefined && { cluster: named }) }
  }
  const [named, constants, order] = [
    await object(cluster),
    await whole(efficiency, true),
    await whole(schedule, /\.csv$/i.test(schedule ?? '')),
  ]
  const text = specText({
    ...rest,
    model: isFile(model) ? { ...architecture } : model,
    ...(named !== undefined && { cluster: named }),
    options: {
      ...others,
      ...(constants !== undefined && { efficiency: constants }),
      ...(order !== undefined && { schedule: order }),
      serving: { ...serving, prefill: await pool(serving.prefill), decode: await pool(serving.decode) },
    },
  })
  const lines = text.split('\n')
  const long = lines.some((line) => line.length > longestLine)
  if (text.length <= longestText && lines.length <= mostLines && !long) return text
  throw new ShardloomError('STUDIO', `With its files the spec has ${text.length} characters, too many for a link.`, {
    subject: 'spec',
    help: `The studio takes ${longestText}, in ${mostLines} lines of at most ${longestLine}: leave files out that the plan does not need.`,
  })
}

/** The state of the studio that its links hold: JSON, deflated, in the 64 characters that URLs leave as they are. */
async function fragmentOf(name: string, text: string): Promise<string> {
  const graph = { level: 'stage', toggled: [], unroll: [] }
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
