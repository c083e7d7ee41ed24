import { parseArgs } from 'node:util'
import { ShardloomError } from 'shardloom'
import type { FileOptions } from './files.js'
import { loopbackHosts } from './http.js'

/** What the command was called with. */
export interface Settings {
  readonly files: FileOptions
  /** Absent: standard input and output. */
  readonly http?: { readonly host: (typeof loopbackHosts)[number]; readonly port: number }
  readonly seconds: number
  readonly megabytes: number
}

/** What `--help` prints. */
export const help = `Usage: shardloom-mcp [options]

Serves Shardloom to agents by the Model Context Protocol, on standard input and
output or, with --http, on a loopback address.

Options:
  --root <folder>       files below it may be read, and new ones written; default
                        no file is
  --plugin <path>       an ES module that specs may name as a plugin; repeatable
  --http <port>         serve streamable HTTP on this port; 0: any that is free
  --host <address>      with --http: ${loopbackHosts.join(', ')} [${loopbackHosts[0]}]
  --time-limit <s>      seconds that one call may take [45]
  --memory-limit <MB>   memory that one call may take [2048]
  --version             print the version
  --help                print this

Example:
  shardloom-mcp --root ./specs
`

/** Reads the arguments: settings, or what to print instead. Throws `USAGE`. */
export function readArguments(args: readonly string[]): Settings | 'help' | 'version' {
  const { values } = parsed(args)
  if (values.help) return 'help'
  if (values.version) return 'version'
  if (values.host !== undefined && values.http === undefined)
    throw usage('--host is of HTTP, and no --http was given.', 'Add `--http 3000`, or leave --host out.')
  const host = loopbackHosts.find((each) => each === (values.host ?? loopbackHosts[0]))
  if (!host) {
    throw usage(
      `--host ${values.host} is not a loopback address: whoever reaches the server could use it.`,
      `Use ${loopbackHosts.join(', ')}, behind a proxy that asks who calls where others must reach it.`,
    )
  }
  return {
    files: { ...(values.root !== undefined && { root: values.root }), plugins: values.plugin ?? [] },
    ...(values.http !== undefined && { http: { host, port: whole('--http', values.http, 0, 65_535) } }),
    // Clients stop waiting after 60 s, and then hear nothing of what would work.
    seconds: whole('--time-limit', values['time-limit'] ?? '45', 1, 86_400),
    megabytes: whole('--memory-limit', values['memory-limit'] ?? '2048', 64, 1_000_000),
  }
}

function parsed(args: readonly string[]) {
  const text = { type: 'string' } as const
  try {
    return parseArgs({
      args: [...args],
      options: {
        root: text,
        plugin: { type: 'string', multiple: true },
        http: text,
        host: text,
        'time-limit': text,
        'memory-limit': text,
        version: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    })
  } catch (cause) {
    throw usage(cause instanceof Error ? cause.message : String(cause), '`shardloom-mcp --help` lists the options.')
  }
}

function whole(option: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (/^\d{1,9}$/.test(text) && value >= least && value <= most) return value
  throw usage(
    `${option} ${text} is not a whole number from ${least} to ${most}.`,
    `Such as \`${option} ${least || 3000}\`.`,
  )
}

function usage(message: string, help: string): ShardloomError {
  return new ShardloomError('USAGE', message, { help })
}
