import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Writable } from 'node:stream'
import type { Command } from 'commander'
import { formatCounted } from 'shardloom'
import { exitCode } from './exit-code.js'
import { writeChunks } from './formats/format.js'
import { type Call, type Io, locate } from './io.js'
import { printJson, printLines, printWarnings } from './output.js'
import { readTextFile } from './read-file.js'
import { type Flags, shellWord } from './spec-flags.js'
import { singleLine } from './style.js'
import { writeWhole } from './write-file.js'

/** What came of one Markdown file. */
interface Report {
  readonly file: string
  readonly blocks: number
  /** The files that were not, or were not yet, what the blocks show. */
  readonly changed: readonly string[]
}

/** `shardloom docs`: Markdown files with what their blocks show; with `--check` the exit code is 3 where a file is out of date. */
export function addDocs(program: Command, { io, finish }: Call): void {
  program
    .command('docs <files...>')
    .description('Write into Markdown files, below each shardloom block, what it shows.')
    .option('--check', 'write nothing, and say with exit code 3 whether a file is out of date')
    .option('--root <folder>', 'files that blocks name lie below it (default: this folder)')
    .option('--json', 'print one JSON document (shardloom.docs/1)')
    .addHelpText(
      'after',
      `
A block is fenced with the language shardloom, or hidden in a comment:

  <!-- shardloom
  model: llama-3.1-8b
  parallel: {tp: 2}
  view: dag
  -->

Example:
  shardloom docs README.md --check`,
    )
    .action(async (files: readonly string[], flags: Flags) => {
      const reports: Report[] = []
      for (const file of files) reports.push(await updated(io, file, flags))
      const isStale = reports.some(({ changed }) => changed.length > 0)
      if (flags.check === true && isStale) finish(exitCode.answerIsNo)
      if (flags.json === true)
        return printJson(io, { schema: 'shardloom.docs/1', check: flags.check === true, files: reports })
      printLines(io, () => reports.map((report) => singleLine(lineOf(report, flags))))
    })
}

async function updated(io: Io, file: string, flags: Flags): Promise<Report> {
  const { updateMarkdown } = await import('remark-shardloom/update') // its parser is loaded only for this
  const before = await readTextFile(io, locate(io, file), file)
  const root = locate(io, typeof flags.root === 'string' ? flags.root : '.')
  const { text, pictures, blocks, warnings } = await updateMarkdown(before, locate(io, file), { root, name: file })
  printWarnings(io, warnings)
  const wanted = new Map([...pictures, [locate(io, file), text]])
  const changed: string[] = []
  for (const [path, content] of wanted) {
    const now = path === locate(io, file) ? before : await readTextFile(io, path).catch(() => undefined)
    if (now === content) continue
    changed.push(path)
    if (flags.check === true) continue
    await mkdir(dirname(path), { recursive: true })
    const write = (stream: Writable) => writeChunks(stream, [content])
    await writeWhole(io, path, write, { replaces: true })
  }
  return { file, blocks, changed }
}

function lineOf({ file, blocks, changed }: Report, { check, root }: Flags): string {
  const of = `${file}: ${formatCounted(blocks, 'block')}`
  if (changed.length === 0) return `${of}, up to date`
  const files = formatCounted(changed.length, 'file')
  const below = typeof root === 'string' ? ` --root ${shellWord(root)}` : ''
  const again = `shardloom docs ${shellWord(file)}${below}`
  return check === true ? `${of}, ${files} out of date: run \`${again}\`` : `${of}, ${files} written`
}
