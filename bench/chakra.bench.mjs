/** Chakra traces: an 80-layer GPT on 4,096 ranks (dp 64, tp 8, pp 8), planned, unrolled and written to files. */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findPreset } from '@shardloom/models'
import { loadSpec } from 'shardloom'
import { traceLoaded } from 'shardloom/chakra'

const gpt = findPreset('gpt3-175b')
const model = { ...gpt, order: { runs: [{ layer: Object.keys(gpt.layers)[0], count: 80 }] } }

async function written(microbatches, ranks) {
  const folder = mkdtempSync(join(tmpdir(), 'shardloom-chakra-'))
  const start = performance.now()
  const loaded = await loadSpec({
    model,
    batch: 64 * microbatches,
    microbatch: 1,
    seq: 2048,
    parallel: { dp: 64, tp: 8, pp: 8 },
    options: { schedule: '1f1b' },
  })
  const traces = traceLoaded(loaded)
  const planned = performance.now()
  let bytes = 0
  for (let rank = 0; rank < ranks; rank++) {
    const file = openSync(join(folder, `gpt.${rank}.et`), 'w')
    for (const part of traces.trace(rank)) bytes += writeSync(file, part)
    closeSync(file)
  }
  const end = performance.now()
  rmSync(folder, { recursive: true })
  return { planned: (planned - start) / 1000, seconds: (end - start) / 1000, bytes }
}

export default async function bench() {
  await written(1, 64)
  const one = await written(1, 4096)
  const heap = process.memoryUsage().rss
  const sixteen = await written(16, 64)
  return [
    `4,096 files, one microbatch: ${(one.bytes / 1e6).toFixed(0)} MB in ${one.seconds.toFixed(1)} s, of which planned and unrolled in ${one.planned.toFixed(2)} s (aim: under 10; STAGE: 114 s, 522 MB)`,
    `16 microbatches: ${((sixteen.bytes * 64) / one.bytes).toFixed(1)} times the bytes, planned and unrolled in ${sixteen.planned.toFixed(2)} s; resident ${(heap / 1e6).toFixed(0)} MB`,
  ]
}
