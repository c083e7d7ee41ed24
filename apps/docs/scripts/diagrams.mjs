/**
 * Draws the diagrams of the site with our own exporters: graphs become Mermaid blocks in generated/, which a page
 * includes, and pipeline schedules SVG files, which a page shows. It runs before every build of the site, so no diagram can show what the code no longer does.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadSpec, plan, planServing, simulateLoaded, toMermaid } from 'shardloom'
import { makeSchedule, timeSchedule } from 'shardloom/schedules'
import { memorySvg, scheduleSvg, timelineSvg, toSvg } from 'shardloom/svg'
import { diagrams, llama } from './diagrams/list.mjs'
import { linkOf } from './studio-link.mjs'

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

/** What the guide to pictures shows. */
const pictured = {
  layer: { ...llama, phase: 'prefill', batch: 2, parallel: { tp: 2 }, options: { sequenceParallel: true } },
  pipelined: {
    ...llama,
    model: 'llama-3.1-70b',
    cluster: 'dgx-h100',
    batch: 32,
    parallel: { tp: 8, pp: 4, dp: 2 },
    options: { sequenceParallel: true, schedule: '1f1b' },
  },
}

const generated = join(dirname(fileURLToPath(import.meta.url)), '..', 'generated')
mkdirSync(generated, { recursive: true })
const draw = (name, { program, operators }, view, below = '') => {
  const mermaid = toMermaid(program, operators, view)
  writeFileSync(join(generated, `${name}.md`), `\`\`\`mermaid\n${mermaid.trimEnd()}\n\`\`\`\n${below}`)
}
for (const diagram of diagrams) {
  const planned = await plan(diagram.spec)
  draw(diagram.name, planned, diagram.view, `\n<StudioLink fragment="${await linkOf(diagram, planned)}" />\n`)
}
const pools = await planServing(serving.spec)
for (const [phase, view] of Object.entries(serving.views)) draw(`phases-serving-${phase}`, pools[phase], view)
for (const { name, title, size } of schedules) {
  const svg = scheduleSvg([timeSchedule(makeSchedule(name, size))], { title, width: 760 })
  writeFileSync(join(generated, `schedule-${name}.svg`), svg)
}
const pipelined = simulateLoaded(await loadSpec(pictured.pipelined))
const pair = ['1f1b', 'zbh1'].map((name) => timeSchedule(makeSchedule(name, { ranks: 4, microbatches: 8 })))
const pictures = {
  lanes: await toSvg(await plan(pictured.layer), { unroll: ['rank'], where: { body: ['layer'] } }),
  stages: await toSvg(pipelined.plan, { level: 'stage' }),
  timeline: timelineSvg(pipelined),
  memory: memorySvg(pipelined),
  schedules: scheduleSvg(pair, { names: ['1F1B', 'ZB-H1'], microbatch: 5 }),
}
for (const [name, svg] of Object.entries(pictures)) writeFileSync(join(generated, `pictures-${name}.svg`), svg)
console.log(`drew ${diagrams.length + 2 + schedules.length + Object.keys(pictures).length} diagrams`)
