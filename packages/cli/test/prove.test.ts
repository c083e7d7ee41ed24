import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'

/** A plugin that takes the all-reduces over tp out of the finished plan, as a faulty rewrite would. */
const lossy = `
const drop = (items, gone) => items.flatMap((item) => {
  if (item.type === 'node') {
    if (item.op === 'all-reduce') { gone.set(item.outputs[0], item.inputs[0]); return [] }
    return [{ ...item, inputs: item.inputs.map((id) => gone.get(id) ?? id) }]
  }
  const bodies = item.bodies.map((body) => ({ ...body, items: drop(body.items, gone) }))
  const ports = item.ports.map((port) => port.kind === 'carry'
    ? { ...port, initial: gone.get(port.initial) ?? port.initial, next: port.next.map((id) => gone.get(id) ?? id) }
    : port)
  return [{ ...item, bodies, ports }]
})
const run = (program) => program.notes.lossy ? program
  : { ...program, items: drop(program.items, new Map()), notes: { ...program.notes, lossy: true } }
export default { name: 'lossy', passes: [{ name: 'lossy/drop', phase: 'schedule', run }] }
`

const flags = ['--model', 'tiny', '--tp', '2', '--dp', '2', '--batch', '4']

describe('shardloom prove', () => {
  test('prints within 80 columns what ran, what it stands for, and the verdict', async () => {
    for (const spec of ['llama-3.1-8b', 'llama-3.1-405b', 'decode', 'moe']) {
      const { code, out, err } = await shardloom(['prove', `examples/${spec}.yaml`])
      expect([code, err], spec).toEqual([0, ''])
      expect(
        out.split('\n').filter((line) => [...line].length > 80),
        spec,
      ).toEqual([])
      expect(out).toMatch(/virtual ranks, in float64/)
      expect(out).toMatch(/^ {2}sizes {7}.*layers \d+ → 2/m)
      expect(out.replaceAll(/\s+/g, ' ')).toMatch(/Proven: .* are what the same operators compute on one device\. $/)
    }
  })

  test('--json is one document that says what was run', async () => {
    const { code, out } = await shardloom(['prove', ...flags, '--seq', '8', '--json'])
    const proof = JSON.parse(out)
    expect(code).toBe(0)
    expect(proof).toMatchObject({
      schema: 'shardloom.prove/1',
      proven: true,
      equal: true,
      phase: 'training',
      mesh: { tp: 2, dp: 2 },
      ranks: 4,
      unlike: [],
      tolerance: 1e-9,
    })
    expect(proof.worst.error).toBeLessThan(1e-9)
    // Two layers of 32 operators at least ran on four ranks, and each of their all-reduces on all four.
    const reduces = proof.executed.find(({ op }: { op: string }) => op === 'all-reduce')
    expect(reduces).toMatchObject({ kind: 'communication' })
    expect(reduces.count % 4).toBe(0)
  })

  test('a plan that computes something else ends with exit code 3 and the first operator that differs', async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'lossy.mjs'), lossy)
    const { code, out, err } = await shardloom(['prove', ...flags, '--plugin', './lossy.mjs'], { cwd: folder })
    expect([code, err]).toEqual([3, ''])
    expect(out).toContain('Not proven: the plan computes something else than one device.')
    expect(out.replaceAll(/\s+/g, ' ')).toMatch(
      /`forward\/[^`]+` \(\w+, microbatch 0.*\) is the first to differ: rank \d+/,
    )
    expect(out.split('\n').filter((line) => [...line].length > 80)).toEqual([])
  })

  test('one rank proves nothing, and says so', async () => {
    const { code, out } = await shardloom(['prove', '--model', 'tiny', '--batch', '4', '--seq', '8'])
    expect(code).toBe(0)
    expect(out).toContain('There is one rank: nothing is split, so there is nothing to prove.')
  })

  test('a plan that no small one is like is proven in part, which is not enough', async () => {
    // In small, weights of experts are stored along another dim.
    const flags = '--model deepseek-v3 --dp 48 --ep 16 --zero 3 --batch 48'
    const { code, out } = await shardloom(['prove', ...flags.split(' ')])
    expect(code).toBe(3)
    expect(out).toMatch(/^Proven in part:$/m)
    expect(out).toMatch(/^ {2}stands for {2}the full plan except \d+ nodes/m)
  })

  test('what the plan warns of is said here too', async () => {
    const { code, err } = await shardloom([
      'prove',
      '--model',
      'tiny',
      '--phase',
      'prefill',
      '--dp',
      '2',
      '--batch',
      '2',
      '--set',
      'options.dp.where={module: nowhere}',
    ])
    expect(code).toBe(0)
    expect(err).toMatch(/^warning .*selector .*matches no operator/)
  })

  test('an operator without semantics is named, with what to do', async () => {
    const folder = temporaryFolder()
    const run = `(program) => {
      if (program.tensors.has('twice')) return program
      const node = { type: 'node', id: 'twice', kind: 'compute', op: 'double', rule: '. -> .', inputs: ['loss'], outputs: ['twice'], segment: 'optimizer', module: '' }
      const tensors = new Map(program.tensors).set('twice', { ...program.tensors.get('loss'), id: 'twice' })
      return { ...program, tensors, items: [...program.items, node] }
    }`
    const plugin = `export default { name: 'double', operators: [{ name: 'double' }], passes: [{ name: 'double/loss', phase: 'build', run: ${run} }] }`
    writeFileSync(join(folder, 'double.mjs'), plugin)
    const { code, err } = await shardloom(['prove', ...flags, '--plugin', './double.mjs'], { cwd: folder })
    expect(code).toBe(1)
    expect(err).toMatch(
      /^error\[NO_SEMANTICS\] `twice` cannot be run: nobody says what the operator `double` computes\./,
    )
    expect(err).toMatch(/help: .*`execute: \(operands, context\) => results`/)
  })

  test('what cannot be planned is refused as `plan` refuses it', async () => {
    const { code, err } = await shardloom(['prove', '--model', 'gpt2', '--tp', '8', '--batch', '4'])
    expect(code).toBe(1)
    expect(err).toMatch(/^error\[INDIVISIBLE\]/)
  })
})
