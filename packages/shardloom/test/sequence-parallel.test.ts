import { nodesOf } from '@shardloom/core'
import { describe, expect, test } from 'vitest'
import { plan } from '../src/plan.js'
import { prove } from '../src/testing.js'

const small = { model: 'tiny', batch: 4, seq: 16 } as const

describe('specs that split the sequence', () => {
  test.each([
    ['llama-3.1-8b', { parallel: { tp: 4, cp: 2 }, options: { sequenceParallel: true } }],
    ['llama-3.1-8b', { parallel: { ulysses: 16, dp: 2 } }],
    ['llama-3.1-405b', { parallel: { tp: 8, cp: 16, dp: 8 }, options: { sequenceParallel: true }, batch: 32 }],
    ['deepseek-v3', { parallel: { ulysses: 4, tp: 4 }, options: { sequenceParallel: true } }],
    ['deepseek-v3', { parallel: { cp: 4, tp: 4 } }],
    ['mixtral-8x7b', { parallel: { cp: 2, ulysses: 2, tp: 2 }, options: { sequenceParallel: true } }],
  ])('%s %j is proven by a small plan that is the large one', async (model, part) => {
    for (const phase of ['training', 'prefill'] as const) {
      const proof = await prove({ model, phase, batch: 4, seq: 4096, ...part })
      expect(proof.difference?.message).toBeUndefined()
      expect(proof.unlike).toEqual([])
      expect(proof.proven).toBe(true)
    }
  })

  test('a selector narrows what is split to some layers', async () => {
    const parallel = { tp: 2 }
    const splits = async (where?: { layers: string }) => {
      const sp = where ? { where } : {}
      const { program } = await plan({ ...small, parallel, options: { sequenceParallel: true, sp } })
      return nodesOf(program.items).filter(({ partition }) => partition?.splits['seq']?.includes('tp')).length
    }
    expect(await splits({ layers: '0' })).toBeGreaterThan(0)
    expect(await splits({ layers: '0' })).toBeLessThan(await splits())
  })

  test('every axis and option changes the plan or is refused', async () => {
    const rows = async (part: object) => nodesOf((await plan({ ...small, ...part })).program.items).length
    const plain = await rows({ parallel: { tp: 2 } })
    expect(await rows({ parallel: { tp: 2 }, options: { sequenceParallel: true } })).toBeGreaterThan(plain)
    for (const phase of ['training', 'decode'] as const) {
      const part = { phase, parallel: { tp: 1 }, options: { sequenceParallel: true } }
      await expect(rows(part)).rejects.toMatchObject({ code: 'CONFLICT', subject: 'sequenceParallel' })
    }
    await expect(rows({ phase: 'decode', parallel: { cp: 2 } })).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  test('ranks that move the sequence stand inside those that only split it, whatever the order of axes', async () => {
    for (const order of [
      ['tp', 'ulysses', 'cp'],
      ['cp', 'ulysses', 'tp'],
      ['cp', 'tp', 'ulysses'],
    ]) {
      const spec = { ...small, parallel: { tp: 2, ulysses: 2, cp: 2 }, order }
      const { program } = await plan(spec)
      const nested = [...program.tensors.values()].flatMap(({ placement }) => placement?.shards ?? [])
      const together = nested.filter(
        (atoms) => atoms.includes('cp') && atoms.some((atom) => atom.startsWith('ulysses')),
      )
      expect(together.length).toBeGreaterThan(0)
      for (const atoms of together) expect(atoms[0]).toBe('cp')
    }
  })
})

describe('specs that split the KV cache', () => {
  const decode = { phase: 'decode', batch: 8, seq: 4096, steps: 3 } as const

  test.each([
    ['deepseek-v3', { parallel: { tp: 8, dcp: 8 } }],
    ['deepseek-v3', { parallel: { dp: 2, tp: 8, dcp: 4, ep: 16 } }],
    ['qwen3-235b-a22b', { parallel: { tp: 8, dcp: 2 } }],
    ['llama-3.1-8b', { parallel: { tp: 16, dcp: 2, pp: 2 } }],
    ['gpt-oss-120b', { parallel: { tp: 16, dcp: 2 } }], // windows and sinks
  ])('%s %j is proven by a small plan that is the large one', async (model, part) => {
    const proof = await prove({ model, ...decode, ...part })
    expect(proof.difference?.message).toBeUndefined()
    expect(proof.unlike).toEqual([])
    expect(proof.proven).toBe(true)
  })

  test('dcp adds no rank, and its ranks are the innermost of tp', async () => {
    const { program } = await plan({ model: 'deepseek-v3', ...decode, parallel: { dp: 2, tp: 8, dcp: 4 } })
    const atomsOf = (axis: string) => program.mesh.axes.find(({ name }) => name === axis)?.atoms ?? []
    expect(program.mesh.world).toBe(16)
    expect(program.mesh.atoms.at(-1)).toEqual({ name: atomsOf('dcp')[0], degree: 4 })
    expect(atomsOf('tp').at(-1)).toBe(atomsOf('dcp')[0])
  })

  test.each([
    [{ tp: 8, dcp: 3 }, {}, 'it does not divide 8', 'Use dcp 1, 2, 4 or 8.'],
    [{ tp: 8, dcp: 16 }, {}, 'it does not divide 8', 'Use dcp 1, 2, 4 or 8.'],
    [{ dcp: 4 }, {}, 'it does not divide 1', 'Leave it out, or set `tp` to 4.'],
    [{ dp: 2, tp: 8, dcp: 2 }, { order: ['dp', 'tp'] }, '`dp` stands inside', 'Put `tp` first in `order`.'],
  ])('%j %j is refused: %s', async (parallel, more, why, help) => {
    await expect(plan({ model: 'deepseek-v3', ...decode, parallel, ...more })).rejects.toMatchObject({
      code: 'MESH_FACTORS',
      subject: 'dcp',
      message: expect.stringContaining(why),
      help,
    })
  })

  test('fewer positions than ranks are refused', async () => {
    await expect(
      plan({ model: 'deepseek-v3', phase: 'decode', batch: 8, seq: 3, parallel: { tp: 8, dcp: 8 } }),
    ).rejects.toMatchObject({ code: 'CONFLICT', help: 'Use a longer `seq`, or `dcp` 1 or 2.' })
  })
})
