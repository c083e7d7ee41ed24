import { Command, CommanderError } from 'commander'
import { addCalibrate } from './calibrate-command.js'
import { addCompare } from './compare-command.js'
import { addDocs } from './docs-command.js'
import { exitCode } from './exit-code.js'
import { addExplain } from './explain-command.js'
import { addExport } from './export-command.js'
import type { Call, Io } from './io.js'
import { addPlan } from './plan-command.js'
import { addProve } from './prove-command.js'
import { reportError, UsageError } from './report-error.js'
import { addSchedule } from './schedule-command.js'
import { addSearch } from './search-command.js'
import { addSimulate } from './simulate-command.js'
import { terminalWidth } from './table.js'
import { addVerify } from './verify-command.js'
import { version } from './version.js'
import { addView } from './view-command.js'

/** Runs the command line and returns the exit code. Everything that goes wrong ends up on stderr as one error. */
export async function runCommandLine(args: readonly string[], io: Io): Promise<number> {
  const json = args.includes('--json')
  let result: number = exitCode.done
  const call: Call = {
    args,
    io,
    finish: (code) => {
      result = code
    },
  }
  const program = new Command('shardloom')
    .description('Shows the explicit DAG that a cluster would run for a model under parallel strategies.')
    .version(version())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      outputError: () => {},
      getOutHelpWidth: () => io.stdout.columns ?? terminalWidth,
    })
    .showSuggestionAfterError(true)
    .addHelpText('after', '\nExample:\n  shardloom plan --model llama-3.1-8b --tp 2 --dp 2 --batch 8')
  for (const add of [
    addPlan,
    addExport,
    addVerify,
    addExplain,
    addProve,
    addSchedule,
    addSimulate,
    addCompare,
    addSearch,
    addCalibrate,
    addDocs,
    addView,
  ])
    add(program, call)
  try {
    if (args.length === 0) {
      program.outputHelp()
      return exitCode.done
    }
    await program.parseAsync(args, { from: 'user' })
    return result
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportError(io, error, { json })
    if (error.exitCode === 0) return exitCode.done
    return reportError(io, usageError(error, helpOf(program, args)), { json })
  }
}

/** Commander's message in our form: what was wrong on one line, its suggestion as help. */
function usageError(error: CommanderError, helpCommand: string): UsageError {
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n')
  const [, letter] = /'-{0,2}(\S).*'/.exec(first) ?? []
  const [, all = ''] = /mean (?:one of )?([^?]*)\?/.exec(rest.join(' ')) ?? []
  // Commander finds `--model` near to `--nodes`, and `--pp` to `--tpp`; who mistypes a name seldom does so in its first letter.
  const meant = all.split(', ').filter((name) => letter !== undefined && name.replace(/^-+/, '').startsWith(letter))
  const suggestion = meant.length > 0 ? `Did you mean ${meant.length > 1 ? 'one of ' : ''}${meant.join(', ')}?` : ''
  const sentence = `${first.charAt(0).toUpperCase()}${first.slice(1)}`.replace(/\.*$/, '.').replace(/\?\.$/, '?')
  return new UsageError(sentence, suggestion || `Try \`${helpCommand}\`.`)
}

/** The command that prints the help of what was called. */
function helpOf(program: Command, args: readonly string[]): string {
  const own = program.commands.find((command) => command.name() === args[0])
  return `shardloom ${own ? `${own.name()} ` : ''}--help`
}
