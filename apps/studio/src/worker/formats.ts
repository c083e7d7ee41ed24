import { strToU8, zipSync } from 'fflate'
import {
  chromeTrace,
  createView,
  graphml,
  readableLimits,
  specText,
  tableCsv,
  tableJson,
  toDot,
  toJsonText,
  toMermaid,
} from 'shardloom'
import { traceLoaded } from 'shardloom/chakra'
import { exportLaunch, type LauncherName, launcherNames } from 'shardloom/launch'
import { onnxOf } from 'shardloom/onnx'
import type { Known, KnownSpec } from './cached.js'
import type { ExportedFile } from './protocol.js'

/** Writes the plan that is looked at, or the whole spec. */
type Write = (known: Known, name: string, spec: KnownSpec) => readonly ExportedFile[]
type Chunks = Iterable<string | Uint8Array>

/** Ranks whose execution traces are put into one archive. */
const mostTraces = 16

/** Every format that needs neither Graphviz nor what is on the screen. */
export const formats: Readonly<Record<string, Write>> = {
  json: text('json', ({ plan }) => [toJsonText(plan.program)]),
  dot: picture('dot', readableLimits.dot, toDot),
  mermaid: picture('mmd', readableLimits.mermaid, toMermaid),
  graphml: text('graphml', ({ plan }) => graphml(plan.program, plan.operators)),
  csv: text('csv', ({ plan }) => tableCsv(plan.program, plan.operators, {})),
  table: text('table.json', ({ plan }) => tableJson(plan.program, plan.operators, {})),
  trace: text('trace.json', ({ simulation }) => chromeTrace(simulation.timeline, simulation.timed.program)),
  onnx: text('onnx', ({ plan }) => onnxOf(plan).chunks()),
  chakra: ({ loaded }, name) => {
    const traces = traceLoaded(loaded)
    const ranks = Math.min(traces.world, mostTraces)
    const files = Object.fromEntries(
      Array.from({ length: ranks }, (_, rank) => [`${name}.${rank}.et`, joined(traces.trace(rank))]),
    )
    const archive = zipSync({ ...files, [`${name}.groups.json`]: joined(traces.groups()) })
    const notes = ranks < traces.world ? [`ranks 0 to ${ranks - 1} of ${traces.world}; the command writes all`] : []
    return [fileOf(`${name}.chakra.zip`, archive, notes)]
  },
  spec: text('yaml', (_, { loaded }) => [specText(loaded.spec)]),
  markdown: text('md', (_, { loaded }) => [`\`\`\`shardloom\n${specText(loaded.spec)}\`\`\`\n`]),
  ...Object.fromEntries(launcherNames.map((name) => [name, launcher(name)])),
}

const endings: Readonly<Record<LauncherName, string>> = {
  megatron: 'sh',
  torchtitan: 'toml',
  deepspeed: 'json',
  vllm: 'sh',
  sglang: 'sh',
}

function text(ending: string, write: (known: Known, spec: KnownSpec) => Chunks): Write {
  return (known, name, spec) => [fileOf(`${name}.${ending}`, joined(write(known, spec)))]
}

function picture(ending: string, limit: { readonly nodes: number; readonly edges: number }, draw: typeof toDot): Write {
  return ({ plan: { program, operators } }, name) => {
    const { notice } = createView(program, operators, { limit })
    return [fileOf(`${name}.${ending}`, strToU8(draw(program, operators, { limit })), notice ? [notice] : [])]
  }
}

function launcher(launched: LauncherName): Write {
  return (_, name, spec) => {
    void spec.plans // nobody is told how to start what cannot be planned
    const { text, files, notes } = exportLaunch(spec.loaded, launched, { scheduleFile: `${name}.schedule.csv` })
    return [
      fileOf(`${name}.${launched}.${endings[launched]}`, strToU8(text), notes),
      ...files.map((beside) => fileOf(beside.name, strToU8(beside.text))),
    ]
  }
}

const types: Readonly<Record<string, string>> = {
  svg: 'image/svg+xml',
  json: 'application/json',
  zip: 'application/zip',
}

/** A file by its name, which tells its type. */
export function fileOf(name: string, bytes: Uint8Array, notes: readonly string[] = []): ExportedFile {
  const type = types[name.split('.').at(-1) ?? ''] ?? 'text/plain'
  return { name, type, bytes: new Uint8Array(bytes), notes }
}

function joined(chunks: Chunks): Uint8Array {
  const parts = [...chunks].map((chunk) => (typeof chunk === 'string' ? strToU8(chunk) : chunk))
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
