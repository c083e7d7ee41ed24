import { once } from 'node:events'
import type { Writable } from 'node:stream'
import type { Option } from 'commander'
import { type Plan, planLoaded, planServingLoaded } from 'shardloom'
import type { Io } from '../io.js'
import { UsageError } from '../report-error.js'
import { type Flags, loadFrom } from '../spec-flags.js'

/** One call of `export`. */
export interface FormatCall {
  readonly io: Io
  readonly specPath: string | undefined
  readonly flags: Flags
  /** `--out` as typed; `-` is standard output. */
  readonly out: string
}

/** What a format has made. */
export interface Exported {
  readonly warnings: readonly string[]
  /** A line for people about what was written; empty where there is nothing to say. */
  readonly notice: string
  /** What goes to `--out`; without it the format has written its files by itself. */
  readonly chunks?: Iterable<string | Uint8Array>
  /** Further fields of the document that `--json` prints. */
  readonly report?: Readonly<Record<string, unknown>>
}

/** A format that `export` writes: one entry of the table in `formats.ts`. */
export interface ExportFormat {
  /** What is written, for help and errors: `Graphviz DOT`. */
  readonly title: string
  /** The flags that only some formats have; the same object may stand in several. Any other of them is refused. */
  readonly options: readonly Option[]
  /** How names of its files end, without the dot: `--out` of such a name says the format. */
  readonly extensions?: readonly string[]
  /** Bytes, which a terminal or a JSON document cannot show. */
  readonly binary?: boolean
  /** What help says of it. */
  readonly help?: string
  readonly make: (call: FormatCall) => Promise<Exported>
}

/** The plan that a format of one program writes; of serving one phase, which `--part` chooses. */
export async function onePlan({ io, specPath, flags }: FormatCall): Promise<Plan> {
  const loaded = await loadFrom(io, specPath, flags)
  const { part } = flags
  if (loaded.spec.phase === 'serving') {
    const planned = planServingLoaded(loaded)
    if (part !== undefined) return part === 'prefill' ? planned.prefill : planned.decode
    throw new UsageError(
      'Serving is two graphs, which share no node.',
      'Choose one: `--part prefill` or `--part decode`.',
    )
  }
  if (part === undefined || part === loaded.spec.phase) return planLoaded(loaded)
  throw new UsageError(`--part ${part} is not planned: the phase is ${loaded.spec.phase}.`, 'Leave --part out.')
}

/** Writes chunks as fast as the stream takes them. */
export async function writeChunks(stream: Writable, chunks: Iterable<string | Uint8Array>): Promise<void> {
  for (const chunk of chunks) if (!stream.write(chunk)) await once(stream, 'drain')
}
