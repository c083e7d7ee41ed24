import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'

const flags = ['export', '--model', 'tiny', '--batch', '4', '--seq', '16', '--format', 'onnx']

describe('shardloom export --format onnx', () => {
  test('writes a file for a rank, and says how large it is', async () => {
    const cwd = temporaryFolder()
    const { code, out, err } = await shardloom([...flags, '--tp', '2', '--rank', '1', '--out', 'tiny.onnx'], { cwd })
    expect([code, out]).toEqual([0, ''])
    expect(err).toContain('functions')
    const report = JSON.parse(
      (await shardloom([...flags, '--tp', '2', '--rank', '1', '--out', 'tiny.onnx', '--json'], { cwd })).out,
    )
    expect(report).toMatchObject({
      schema: 'shardloom.export/1',
      format: 'onnx',
      out: 'tiny.onnx',
      bytes: readFileSync(join(cwd, 'tiny.onnx')).length,
      functions: expect.arrayContaining(['ForwardLayer', 'BackwardLayer', 'Microbatch']),
    })
  })

  test('writes weights when asked', async () => {
    const cwd = temporaryFolder()
    await shardloom([...flags, '--phase', 'prefill', '--out', 'without.onnx'], { cwd })
    await shardloom([...flags, '--phase', 'prefill', '--weights', '--out', 'with.onnx'], { cwd })
    const size = (name: string) => readFileSync(join(cwd, name)).length
    const plan = JSON.parse((await shardloom(['plan', '--model', 'tiny', '--phase', 'prefill', '--json'])).out)
    // Without, each is an input, whose type takes about as much as the head of a tensor.
    expect((size('with.onnx') - size('without.onnx')) / plan.perRank.parameterBytes).toBeCloseTo(1, 2)
  })

  test.each([
    [['--json'], 'ONNX is bytes'],
    [['--phase', 'serving', '--out', 'x.onnx'], 'Serving is two graphs'],
    [['--rank', '1', '--out', 'x.onnx'], 'There is no rank 1'],
    [['--model', 'llama-3.1-70b', '--weights', '--out', 'x.onnx'], 'would take 141 GB'],
    [['--level', 'layer', '--out', 'x.onnx'], '--level is of'],
  ])('refuses %j, and writes nothing', async (more, message) => {
    const cwd = temporaryFolder()
    const { code, err } = await shardloom([...flags, ...more], { cwd })
    expect([1, 2]).toContain(code)
    expect(err).toContain(message)
    expect(readdirSync(cwd)).toEqual([])
  })
})
