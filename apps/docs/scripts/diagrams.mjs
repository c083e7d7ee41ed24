/**
 * Draws the diagrams of the site with our own exporters: graphs become Mermaid blocks in generated/, which a page
 * includes, and pipeline schedules SVG files, which a page shows. It runs before every build of the site, so no diagram can show what the code no longer does.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hybrids, plan, planServing, toMermaid } from 'shardloom'
import { makeSchedule, timeSchedule } from 'shardloom/schedules'
import { scheduleSvg } from 'shardloom/svg'

const llama = { schema: 'shardloom.spec/1', model: 'llama-3.1-8b', phase: 'training', batch: 16, seq: 8192 }

/** The file that a page includes, the spec, and the view of it. */
const diagrams = [
  { name: 'getting-started', spec: { ...llama, parallel: { dp: 2, tp: 4 } }, view: { level: 'module' } },
  { name: 'regions', spec: llama, view: { level: 'layer', legend: false } },
  {
    name: 'phases',
    spec: { ...llama, phase: 'decode', seq: 4096, steps: 4 },
    view: { level: 'module', legend: false },
  },
  {
    name: 'phases-chunks',
    spec: { ...llama, phase: 'prefill', options: { prefill: { chunk: 2048 } } },
    view: { level: 'module', legend: false },
  },
  {
    name: 'strategy-tp',
    spec: { ...llama, phase: 'prefill', parallel: { tp: 8 } },
    view: { level: 'operator', legend: false },
  },
  {
    name: 'strategy-tp-overlap',
    spec: { ...llama, phase: 'prefill', parallel: { tp: 8 }, options: { tp: { overlap: 2 } } },
    view: { level: 'operator', legend: false },
  },
  ...[
    ['tensor-ranks', { parallel: { tp: 8 }, options: { sequenceParallel: true } }],
    ['cp', { parallel: { cp: 8 } }],
    ['ulysses', { parallel: { ulysses: 8 } }],
    ['ring', { parallel: { cp: 8 }, options: { sp: { attention: 'ring' } } }],
    ['dcp', { phase: 'decode', parallel: { tp: 16, dcp: 2 } }],
  ].map(([name, part]) => ({
    name: `strategy-sp-${name}`,
    spec: { ...llama, phase: 'prefill', ...part },
    view: { level: 'operator', legend: false },
  })),
  {
    name: 'strategy-ep',
    spec: { ...llama, model: 'mixtral-8x7b', phase: 'prefill', parallel: { dp: 8, ep: 4 } },
    view: { level: 'operator', legend: false },
  },
  {
    name: 'strategy-dp-replicas',
    spec: { model: 'mixtral-8x7b', phase: 'decode', batch: 64, seq: 4096, parallel: { replicas: 2, dp: 4, ep: 4 } },
    view: { level: 'module', legend: false },
  },
  ...['none', 'full'].map((recompute) => ({
    name: `memory-${recompute}`,
    spec: { model: 'gpt3-175b', batch: 1, seq: 2048, options: { attention: 'materialised', recompute } },
    view: { level: 'module', legend: false },
  })),
  ...Object.entries(hybrids).map(([preset, { spec }]) => ({
    name: `hybrid-${preset}`,
    spec: { preset },
    // More stages than four are wider than a page.
    view: { level: (spec.parallel?.pp ?? 5) <= 4 ? 'stage' : 'layer', legend: false },
  })),
  {
    name: 'strategy-pp',
    spec: { ...llama, batch: 8, parallel: { pp: 4 } },
    view: { level: 'stage', legend: false },
  },
  {
    name: 'strategy-pp-v',
    spec: { ...llama, batch: 8, parallel: { pp: 2 }, options: { schedule: 'zbv' } },
    view: { level: 'stage', legend: false },
  },
  { name: 'strategy-dp', spec: { ...llama, parallel: { dp: 4 } }, view: { level: 'layer', legend: false } },
  {
    name: 'strategy-dp-zero',
    spec: { ...llama, parallel: { dp: 4 }, options: { zero: 3 } },
    view: { level: 'layer', legend: false },
  },
]

/** Two pools of serving, each phase as phases-serving-PHASE.md. */
const serving = {
  spec: {
    ...llama,
    phase: 'serving',
    options: { serving: { prefill: { parallel: { tp: 4 }, batch: 4 }, decode: { parallel: { dp: 2, tp: 8 } } } },
  },
  views: { prefill: { level: 'operator', legend: false }, decode: { level: 'module', legend: false } },
}

/** The schedules that a page shows, each as schedule-NAME.svg. */
const schedules = [
  { name: '1f1b', title: '1F1B', size: { ranks: 4, microbatches: 6 } },
  { name: 'zbh1', title: 'ZB-H1', size: { ranks: 4, microbatches: 6 } },
  { name: 'dualpipe', title: 'DualPipe', size: { ranks: 4, microbatches: 8 } },
]

const generated = join(dirname(fileURLToPath(import.meta.url)), '..', 'generated')
mkdirSync(generated, { recursive: true })
const draw = (name, { program, operators }, view) => {
  const mermaid = toMermaid(program, operators, view)
  writeFileSync(join(generated, `${name}.md`), `\`\`\`mermaid\n${mermaid.trimEnd()}\n\`\`\`\n`)
}
for (const { name, spec, view } of diagrams) draw(name, await plan(spec), view)
const pools = await planServing(serving.spec)
for (const [phase, view] of Object.entries(serving.views)) draw(`phases-serving-${phase}`, pools[phase], view)
for (const { name, title, size } of schedules) {
  const svg = scheduleSvg([timeSchedule(makeSchedule(name, size))], { title, width: 760 })
  writeFileSync(join(generated, `schedule-${name}.svg`), svg)
}
console.log(`drew ${diagrams.length + 2 + schedules.length} diagrams`)
