import { verifyProgram } from '@shardloom/core/verify'
import { mutationReport, runReference } from '@shardloom/testing'
import { describe, expect, test } from 'vitest'
import { loadSpec, planLoaded, planOneDevice } from '../../shardloom/src/plan.js'
import { uniform } from './models.js'

const tied = uniform(2, { tiedEmbeddings: true })
const specs = {
  'tied, zbh1, pp 2 × tp 2': {
    model: tied,
    batch: 4,
    seq: 4,
    parallel: { pp: 2, tp: 2 },
    options: { schedule: 'zbh1' },
  },
  'dualpipe, pp 2': { model: uniform(2), batch: 4, seq: 2, parallel: { pp: 2 }, options: { schedule: 'dualpipe' } },
  'decode, pp 2 × tp 2': { model: uniform(2), phase: 'decode', batch: 2, seq: 3, steps: 2, parallel: { pp: 2, tp: 2 } },
}
const load = (spec: object) => loadSpec({ ...spec }) // checked by the schema

describe('every way to spoil the communication of a pipeline is caught', () => {
  test.each(Object.entries(specs))('%s', async (_, spec) => {
    const loaded = await load(spec)
    const { program, operators } = planLoaded(loaded)
    const report = mutationReport(runReference(planOneDevice(loaded), operators), program, operators)
    expect(report.made).toBeGreaterThan(30)
    expect(report.missed).toEqual([])
    expect(report.verifier).toBe(report.made)
    expect(report.byKind.dropped.interpreter).toBe(report.byKind.dropped.made)
  })
})

describe('rule 4', () => {
  const broken = async (change: (actions: readonly string[]) => readonly string[]) => {
    const { program, operators, rules } = planLoaded(await load(specs['tied, zbh1, pp 2 × tp 2']))
    const { pipeline } = program
    if (!pipeline) throw new Error('there is a pipeline')
    const spoiled = { ...program, pipeline: { ...pipeline, actions: change(pipeline.actions) } }
    const report = verifyProgram(spoiled, operators, rules).find(({ rule }) => rule === 4)
    return report?.violations.map(({ message }) => message).join('\n') ?? ''
  }

  test('holds of what is planned', async () => {
    expect(await broken((actions) => actions)).toBe('')
  })

  test('names the ranks and actions that wait for each other', async () => {
    // Rank 0 receives before it has sent what rank 1 needs.
    const message = await broken(([first = '', second = '']) => [
      ['0RECV_B0', ...first.split(',').filter((each) => each !== '0RECV_B0')].join(),
      second,
    ])
    expect(message).toMatch(/rank 0, action \d \(0RECV_B0\) waits for rank 1/)
  })

  test('names a send that nobody receives, and a microbatch left out', async () => {
    expect(await broken(([first = '', second = '']) => [first, second.replace('1RECV_F1,', '')])).toMatch(/0SEND_F1/)
    expect(await broken(([first = '', second = '']) => [first, second.replace(/,1W1(?=,|$)/, '')])).toMatch(/1W1/)
  })

  test('names a rank that holds another chunk', async () => {
    expect(await broken(([first = '', second = '']) => [second, first])).toMatch(
      /but 1 holds chunk 1|but 0 holds chunk 0/,
    )
  })
})

test('both directions of dualpipe are looked at', async () => {
  const options = { schedule: 'dualpipe', pp: { layers: [2, 1] } }
  const loaded = await load({ model: uniform(3), batch: 4, seq: 2, parallel: { pp: 2 }, options })
  const { program, operators, rules } = planLoaded(loaded)
  const broken = (first: readonly number[], second: readonly number[]) => {
    const { pipeline } = program
    if (!pipeline) throw new Error('there is a pipeline')
    const ends = [...first, ...second]
    const chunks = pipeline.chunks.map((chunk, at) => {
      return { ...chunk, from: at % 2 ? (ends[at - 1] ?? 0) : 0, to: ends[at] ?? 0 }
    })
    const report = verifyProgram({ ...program, pipeline: { ...pipeline, chunks } }, operators, rules)
    return report.flatMap(({ rule, violations }) => violations.map(({ message }) => `${rule}: ${message}`)).join('\n')
  }
  expect(broken([2, 3], [2, 3])).toBe('')
  // Cut elsewhere: the sends stand behind another layer.
  expect(broken([2, 3], [1, 3])).toMatch(/4: .* passes from pp 1 to pp 0 \(layer 0 to 1\) without a send/)
  expect(broken([1, 3], [2, 3])).toMatch(/4: .* passes from pp 0 to pp 1 \(layer 0 to 1\) without a send/)
  // All layers in one chunk: nothing carries their result to the head on the other rank, nor gradients to the embedding.
  expect(broken([2, 3], [3, 3])).toMatch(/4: `forward\/head\/norm` stands with pp 0 and reads .*, which pp 1 holds/)
  expect(broken([3, 3], [2, 3])).toMatch(/4: `forward\/head\/norm` stands with pp 1 and reads .*, which pp 0 holds/)
  expect(broken([2, 3], [0, 3])).toMatch(/4: `backward\/embedding\/tokens\.weight` stands with pp 1 and reads/)
})
