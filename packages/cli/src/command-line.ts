import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { addCompare } from './compare-command.js'
import { exitCode } from './exit-code.js'
import { addExplain } from './explain-command.js'
import { addExport } from './export-command.js'
import { addPlan } from './plan-command.js'
import { addProve } from './prove-command.js'
import { reportError, UsageError } from './report-error.js'
import { addSchedule } from './schedule-command.js'
import { addSimulate } from './simulate-command.js'
import { styleOf } from './style.js'
import { addVerify } from './verify-command.js'

/** Runs the command line and returns the exit code. Everything that goes wrong ends up on stderr as one error. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const json = args.includes('--json')
  const style = styleOf(process.stderr)
  let result: number = exitCode.done
  const finish = (code: number) => {
    result = code
  }
  const program = new Command('shardloom')
    .description('Shows the explicit DAG that a cluster would run for a model under parallel strategies.')
    .version(version())
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError(true)
    .addHelpText('after', '\nExample:\n  shardloom plan --model llama-3.1-8b --tp 2 --dp 2 --batch 8')
  for (const add of [addPlan, addExport, addVerify, addExplain, addProve, addSchedule, addSimulate, addCompare])
    add(program, finish)
  try {
    if (args.length === 0) {
      program.outputHelp()
      return exitCode.done
    }
    await program.parseAsync(args, { from: 'user' })
    return result
  } catch (error) {
    if (!(error instanceof CommanderError)) return reportError(error, { json, style })
    if (error.exitCode === 0) return exitCode.done
    return reportError(usageError(error, helpOf(program, args)), { json, style })
  }
}

/** Commander's message in our form: what was wrong on one line, its suggestion as help. */
function usageError(error: CommanderError, helpCommand: string): UsageError {
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n')
  const [, word, meant] = /'-{0,2}(\S).*'.*\n.*(?:mean|of) (?:one of )?-{0,2}(\S)/.exec(error.message) ?? []
  // Commander finds `--model` near to `--nodes`; who mistypes a name seldom does so in its first letter.
  const suggestion = word === meant ? rest.join(' ').replace(/[()]/g, '').trim() : ''
  const sentence = `${first.charAt(0).toUpperCase()}${first.slice(1)}`.replace(/\.*$/, '.')
  return new UsageError(sentence, suggestion || `Try \`${helpCommand}\`.`)
}

/** The command that prints the help of what was called. */
function helpOf(program: Command, args: readonly string[]): string {
  const own = program.commands.find((command) => command.name() === args[0])
  return `shardloom ${own ? `${own.name()} ` : ''}--help`
}

function version(): string {
  const manifest: { version: string } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return manifest.version
}
