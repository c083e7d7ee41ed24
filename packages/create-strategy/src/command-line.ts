import { basename, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { namesOf } from './names.js'
import { Refusal, UsageRefusal } from './refusal.js'
import { exampleModel, skeleton } from './skeleton.js'
import { writeFiles } from './write-files.js'

/** What a run of the command gives back. Exit codes: 0 done, 1 bad input, 2 wrong usage. */
export interface Outcome {
  readonly exitCode: 0 | 1 | 2
  readonly output: string
  readonly errors: string
}

const help = `Usage: create-strategy <folder> [--axis NAME] [--dim DIM]

Writes the skeleton of a Shardloom strategy into a new folder. The package is called like the folder.

  --axis NAME  the mesh axis that the strategy brings; default: the first letters of the folder's words
  --dim DIM    the dim that the axis splits; default: vocab
  --version    the version of Shardloom that the skeleton will use
  --help       this text

Example:
  npm create @shardloom/strategy vocab-parallel -- --axis vp --dim vocab
`

/** Runs the command: the arguments without `node` and the script, and the version of this package. */
export function runCommandLine(args: readonly string[], version: string): Outcome {
  try {
    return { exitCode: 0, output: run(args, version), errors: '' }
  } catch (error) {
    if (!(error instanceof Refusal || isSystemError(error))) throw error
    const refusal = error instanceof Refusal ? error : new Refusal('FOLDER', error.message, 'Name another folder.')
    const errors = `error[${refusal.code}] ${refusal.message}\nhelp: ${refusal.help}\n`
    return { exitCode: refusal instanceof UsageRefusal ? 2 : 1, output: '', errors }
  }
}

function run(args: readonly string[], version: string): string {
  const { values, positionals } = parse(args)
  if (values.help) return help
  if (values.version) return `${version}\n`
  const [given, ...more] = positionals
  if (given === undefined) throw new UsageRefusal('Where should the strategy be written? No folder was given.')
  if (more.length > 0) throw new UsageRefusal(`One folder is enough: \`${more.join(' ')}\` is left over.`)
  const folder = resolve(given)
  const names = namesOf(basename(folder), values.axis, values.dim ?? 'vocab')
  const files = skeleton(names, version)
  const shown = relative('.', folder) || '.'
  writeFiles(folder, shown, files)
  const { axis, dim } = names
  return `Wrote ${files.size} files to ${shown}: the axis \`${axis}\` splits the dim \`${dim}\`.

${shown === '.' ? '' : `  cd ${shown}\n`}  npm install
  npm test
  npm run build
  npx shardloom plan --model ${exampleModel(dim)} --plugin ./dist/index.js --set parallel.${axis}=2
`
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        axis: { type: 'string' },
        dim: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageRefusal(error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error))
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error
}
