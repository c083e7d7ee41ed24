import { type Command, Option } from 'commander'
import type { ExportFormat } from './formats/format.js'
import { writeChunks } from './formats/format.js'
import { formats } from './formats/formats.js'
import type { Call } from './io.js'
import { printJson, printNote, printWarnings } from './output.js'
import { UsageError } from './report-error.js'
import { addSpecFlags, type Flags } from './spec-flags.js'
import { singleLine, styleOf } from './style.js'
import { writeWhole } from './write-file.js'

/** `shardloom export`: the plan as a file that other tools read. */
export function addExport(program: Command, { io }: Call): void {
  const all = Object.values(formats)
  const command = program
    .command('export [spec]')
    .description(`Write the plan of a spec as ${words(all.map(({ title }) => title))}.`)
    .addOption(
      new Option('--format <format>', 'what to write (default: what the ending of --out says, else json)').choices(
        Object.keys(formats),
      ),
    )
    .option('--out <path>', 'where to; - is standard output; chakra: what names of files begin with', '-')
  const own = [...new Set(all.flatMap(({ options }) => options))]
  for (const option of own) command.addOption(option)
  command
    .option('--json', 'print one JSON document (shardloom.export/1) about what was written')
    .addHelpText(
      'after',
      all
        .map(({ help = '' }) => help)
        .filter(Boolean)
        .join('\n'),
    )
    .addHelpText(
      'after',
      '\nExample:\n  shardloom export --model llama-3.1-8b --tp 2 --dp 2 --batch 8 --format mermaid',
    )
    .action(async (specPath: string | undefined, flags: Flags) => {
      const out = String(flags.out)
      const { name, note } = flags.format === undefined ? formatOf(out) : { name: String(flags.format) }
      const format = formats[name] as ExportFormat // commander refuses any other choice
      refuseOthers(flags, name, format, own)
      const inside = flags.json === true && out === '-'
      if (format.binary && (inside || (out === '-' && io.stdout.isTTY)))
        throw new UsageError(`${format.title} is bytes.`, 'Say where: `--out FILE`.')
      const { warnings, notice, chunks, report } = await format.make({ io, specPath, flags, out })
      printWarnings(io, warnings)
      if (note !== undefined) printNote(io, note)
      const print = (where: object) =>
        printJson(io, { schema: 'shardloom.export/1', format: name, notice, ...where, ...report })
      if (chunks && inside) return print({ text: [...chunks].join('') })
      if (chunks) await writeWhole(io, out, (stream) => writeChunks(stream, chunks))
      if (flags.json === true) return print({ out })
      const style = styleOf(io.stderr, io.env)
      if (notice) io.stderr.write(style.encode(`${style.dim('note:')} ${singleLine(notice)}\n`))
    })
  addSpecFlags(command)
}

/** The format that the name of a file says; JSON where it says none, with a note where it seems to say something. */
function formatOf(out: string): { readonly name: string; readonly note?: string } {
  const [, ending] = /[^/\\]\.([a-z0-9]+)$/i.exec(out) ?? []
  if (ending === undefined) return { name: 'json' }
  const found = Object.entries(formats).filter(([, { extensions = [] }]) => extensions.includes(ending.toLowerCase()))
  const [first] = found
  if (first && found.length === 1) return { name: first[0] }
  const names = (found.length > 0 ? found.map(([name]) => name) : Object.keys(formats)).map((name) => `\`${name}\``)
  const why = found.length > 0 ? 'is the ending of several formats' : 'is the ending of no format'
  return { name: 'json', note: `${out} has JSON: .${ending} ${why}; say --format ${words(names)}` }
}

/** Throws `USAGE` for a flag of other formats, which would change nothing. */
function refuseOthers(flags: Flags, name: string, format: ExportFormat, own: readonly Option[]): void {
  for (const option of own) {
    if (flags[option.attributeName()] === undefined || format.options.includes(option)) continue
    const of = Object.entries(formats).filter(([, { options }]) => options.includes(option))
    throw new UsageError(
      `${option.long} is of ${words(of.map(([name]) => name))}; the format is ${name}.`,
      `Leave ${option.long} out.`,
    )
  }
}

const words = (names: readonly string[]) =>
  names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`
