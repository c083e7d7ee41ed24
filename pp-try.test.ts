import { test } from 'vitest'
import { expectEquivalent } from './packages/shardloom/src/testing.js'
import { loadSpec, planLoaded } from './packages/shardloom/src/plan.js'
import { regionsOf } from './packages/core/src/index.js'
const model = { family: 'test', hidden: 16, vocab: 16 }
test('x', async () => {
  const spec = { model: 'gpt2', batch: 4, seq: 4, parallel: { pp: 2 }, options: {} } as never
  try { const p = planLoaded(await loadSpec(spec)); console.log(regionsOf(p.program.items).map(r => r.id + ' ' + r.bodies.map(b=>b.name) + ' ' + JSON.stringify(r.select)).join('\n')) } catch (e) { console.log(e) }
})
