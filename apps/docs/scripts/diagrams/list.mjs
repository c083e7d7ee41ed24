import { hybrids } from 'shardloom'

/** The model of most diagrams. */
export const llama = { schema: 'shardloom.spec/1', model: 'llama-3.1-8b', phase: 'training', batch: 16, seq: 8192 }

/** Every diagram: the file that a page includes, the spec, and the view of it. */
export const diagrams = [
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
