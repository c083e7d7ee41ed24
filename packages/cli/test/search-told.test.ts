import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { StepBreakdown } from 'shardloom/search'
import { describe, expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'
import { asked, pointed, small, training, wide, wordsOf } from './small-search.js'

describe('of a search', () => {
  test('flags that it tries other values of are named, and kept only where that is asked for', async () => {
    const flags = [...small, '--tp', '2', '--zero', '1', '--cp', '1']
    const free = await shardloom(flags)
    expect(free.err.replace(/\s+/g, ' ')).toContain('--tp 2, --zero 1 are not kept')
    const own = wordsOf(/--keep \S+/.exec(free.err)?.[0] ?? '')
    const narrowed = flags.filter((word, at) => ![word, flags[at + 1]].some((each) => /^(tp|zero)=/.test(each ?? '')))
    const kept = await shardloom([...narrowed, ...own, '--json'])
    expect(kept.err).toBe('')
    for (const { name } of JSON.parse(kept.out).best) expect(name).toMatch(/ tp=2 .* zero=1/)
  })

  test('that pipelines of decode take less per token than the one step they are judged by, and only of those', async () => {
    const spec = [
      '--model',
      'llama-3.1-8b',
      '--cluster',
      'dgx-h100',
      '--phase',
      'decode',
      '--batch',
      '8',
      '--seq',
      '1024',
    ]
    const search = (pp: number) =>
      shardloom(['search', ...spec, '--ranks', '2', '--choose', `pp=${pp}`, '--choose', 'microbatch=4', '--json'])
    const [staged, flat] = [await search(2), await search(1)]
    expect(staged.err).toContain('judged by one step')
    expect(flat.err).not.toContain('judged by one step')
    const [best] = JSON.parse(staged.out).best
    const { out } = await shardloom(['simulate', ...spec, '--pp', '2', '--microbatch', '4', '--steps', '64', '--json'])
    expect(JSON.parse(out).tpotSeconds).toBeLessThan(0.8 * best.metrics.tpot)
  })

  test('where requests come at a rate, that engines which keep up have the same throughput', async () => {
    const flags = ['search', '--phase', 'serving', '--model', 'llama-3.1-8b', '--cluster', 'dgx-h100', '--ranks', '2']
    const load = ['--set', 'options.serving.load={"rate":2,"input":512,"output":64,"requests":64}']
    const { out, err } = await shardloom([...flags, ...load, '--json'])
    expect(err).toContain('the same throughput: --objective tpot')
    const rates = JSON.parse(out).best.map(
      (each: { metrics: Record<string, number> }) => each.metrics['requests-per-second'],
    )
    for (const each of rates) expect(each / rates[0]).toBeCloseTo(1, 1)
    expect((await shardloom([...flags, ...load, '--objective', 'tpot', '--json'])).err).toBe('')
  })

  test('a schedule that there is not is an error, though others are tried in its place', async () => {
    const { code, err } = await shardloom([...asked, '--schedule', 'zbvv'])
    expect(code).toBe(1)
    expect(err).toContain('There is no schedule `zbvv`')
  })

  test('what a fix of a near miss was simulated at is told, and its place in the table', async () => {
    const narrow = ['cp=1', 'ulysses=1', 'schedule=1f1b'].flatMap((each) => ['--choose', each])
    const flags = ['search', ...training, '--ranks', '8', '--batch', '32', '--seq', '8192', ...narrow]
    const { best, nearMisses, simulated } = JSON.parse((await shardloom([...flags, '--json'])).out)
    const fixes = nearMisses.flatMap(({ fixes }: { fixes: unknown[] }) => fixes)
    const known = fixes.filter(({ metrics }: { metrics: unknown }) => metrics)
    expect(known.length).toBeGreaterThan(0)
    expect(known.length).toBeLessThan(fixes.length)
    expect(known.length).toBeLessThanOrEqual(simulated)
    const last = best.at(-1).metrics['step-time']
    for (const { name, metrics, place, outside } of fixes) {
      const row = best.findIndex((each: { name: string }) => each.name === name)
      expect(place).toBe(row < 0 ? null : row + 1)
      if (row >= 0) expect(metrics).toEqual(best[row].metrics)
      // What was simulated and is no row of the table is no better than its last.
      else if (metrics) expect(metrics['step-time']).toBeGreaterThanOrEqual(last)
      if (outside.length > 0) expect(metrics).toBeNull()
    }
    const text = await shardloom(flags)
    const told = text.out.slice(text.out.indexOf('Near misses')).replace(/\s+/g, ' ')
    const [{ place }] = known
    expect(told).toContain(`as simulated, number ${place} above`)
    expect(told).toMatch(/\(not among the choices\): step-time \S+ s as estimated, the best \S+ s/)
    expect(wide(text.out).filter((each) => !each.startsWith('  shardloom simulate'))).toEqual([])
  })

  test('a point is compared with the best as both are simulated, and with what its step takes more for', async () => {
    const { best } = JSON.parse((await shardloom([...small, '--json'])).out)
    const [first, second] = best
    const chosen = (name: string) => Object.fromEntries(name.split(' ').map((each) => each.split('=')))
    const { tp, pp, zero } = chosen(second.name)
    const words = [...pointed, '--why', `tp=${tp},pp=${pp},zero=${zero}`]
    const why = JSON.parse((await shardloom([...words, '--json'])).out)
    expect(why).toMatchObject({ measure: 'simulated', best: { name: first.name }, point: { name: second.name } })
    const [took, takes] = [first, second].map(({ metrics }) => metrics['step-time'])
    expect(why.toBest).toBeCloseTo(takes / took - 1, 12)
    // Whatever a rank does in a step, it computes, or waits for its own communication, or for others.
    const sum = ({ computing, exposed, waiting }: StepBreakdown) =>
      Object.values(exposed).reduce((all, each) => all + each, computing + waiting)
    expect(sum(why.point.breakdown)).toBeCloseTo(takes, 9)
    expect(sum(why.secondsToBest)).toBeCloseTo(takes - took, 9)
    // Data parallelism sends nothing while layers compute; over tp every layer waits.
    expect(why.secondsToBest.exposed.tp).toBeGreaterThan(0)
    const { out } = await shardloom(words)
    expect(out.replace(/\s+/g, ' ')).toMatch(/both as simulated\. A step takes \S+ \S*s more.*: .*exposed tp \+/)
    // The parts that are told come to what is told of the whole, but for half a unit in the third figure of each.
    const [, whole = '', , parts = ''] =
      /A step takes (\S+ \S*s) (more|less), as a mean over ranks: (.*?)\. The best/.exec(out.replace(/\s+/g, ' ')) ?? []
    const units: Readonly<Record<string, number>> = { s: 1, ms: 1e-3, µs: 1e-6 }
    const secondsOf = (text: string) => {
      const [, sign = '', digits = '', unit = ''] = /([+−]?)([\d.]+) (\S*s)$/.exec(text) ?? []
      return (sign === '−' ? -1 : 1) * Number(digits) * (units[unit] ?? Number.NaN)
    }
    const told = parts.split(', ').map(secondsOf)
    const rounding = [secondsOf(whole), ...told].reduce((all, each) => all + 0.005 * Math.abs(each), 0)
    expect(Math.abs(told.reduce((all, each) => all + each, 0) - secondsOf(whole))).toBeLessThan(rounding)
    expect(wide(out).filter((each) => !each.startsWith('  shardloom simulate'))).toEqual([])
  })

  test('a point of so many chunks has so many', async () => {
    const asked = ['search', ...training, '--ranks', '8', '--batch', '32', '--choose', 'cp=1', '--choose', 'tp=1,2']
    const { out } = await shardloom([...asked, '--why', 'pp=4,virtual=4', '--json'])
    const { point } = JSON.parse(out)
    // 1F1B has one chunk on each rank, ZB-V two (Qi et al. 2024).
    expect(point.name).toContain('schedule=interleaved1f1b virtual=4')
    const none = await shardloom([...asked, '--choose', 'schedule=1f1b,zbv', '--why', 'pp=4,virtual=4'])
    expect(none.err).toContain('No schedule of 1f1b, zbv has 4 chunks on each rank.')
  })

  test('the batch and the length that its figures are of', async () => {
    const { out } = await shardloom(small)
    expect(out).toMatch(/step of +batch [\d,]+ {2}seq [\d,]+/)
  })

  test('one that fits is found where recomputation of unequal chunks leaves little room, however few are asked for', async () => {
    const layers = [
      'pp=4',
      'tp=1',
      'microbatch=2',
      'schedule=interleaved1f1b',
      'recompute=none,stages',
      'virtual=5,6,7,8',
    ]
    const two = ['--ranks', '16', '--cluster', '{preset: dgx-h100, nodes: 2}', '--batch', '64', '--seq', '8192']
    const flags = [
      'search',
      '--model',
      'llama-3.1-8b',
      ...two,
      '--keep',
      'order,cp,ulysses,zero',
      '--top',
      '1',
      '--json',
    ]
    const { out, code } = await shardloom([...flags, ...layers.flatMap((each) => ['--choose', each])])
    const [best] = JSON.parse(out).best
    expect(code).toBe(0)
    expect(best.metrics['peak-memory']).toBeLessThan(80 * 2 ** 30)
  })

  test('any row of the table can be picked', async () => {
    const cwd = temporaryFolder()
    const told = [...small, '--pick', '2', '--launcher', 'megatron']
    const { out, err } = await shardloom([...told, '--spec', 'two.yaml', '--json'], { cwd })
    const { best, launch } = JSON.parse(out)
    expect(err).toContain('two.yaml has the spec of number 2')
    expect(launch).toMatchObject({ place: 2 })
    const simulated = JSON.parse((await shardloom(['simulate', 'two.yaml', '--json'], { cwd })).out)
    expect(simulated.stepSeconds).toBe(best[1].metrics['step-time'])
    const text = await shardloom(told, { cwd })
    expect(text.out).toMatch(/To simulate number 2\n {2}shardloom simulate/)
    const line = text.out.split('\n').find((each) => each.startsWith('  shardloom simulate '))
    const again = await shardloom([...wordsOf(line ?? '').slice(1), '--json'], { cwd })
    expect(JSON.parse(again.out).stepSeconds).toBe(best[1].metrics['step-time'])
    // There are a few dozen candidates at most, of which the search keeps no hundred.
    const none = await shardloom([...small, '--top', '100', '--pick', '100'], { cwd })
    expect(none.code).toBe(1)
    expect(none.err).toMatch(/--pick 100 tells of nothing: the table has \d+ rows/)
    expect(none.out).not.toContain('To simulate')
  })

  const bad: [flags: string[], message: RegExp][] = [
    [['--pick', '6'], /--pick 6 is no row of the table, which has 5 at most.*--top 6/],
    [['--pick', '0'], /whole number/],
    [['--pick', 'last'], /whole number/],
    [['--pick', '2', '--json'], /Add --spec PATH or --launcher NAME/],
    [['--pick', '2', '--why', 'tp=2'], /--pick has no effect with --why/],
  ]
  test.each(bad)('refuses %j', async (flags, message) => {
    const { code, out, err } = await shardloom(['search', ...training, '--ranks', '8', ...flags])
    expect(err.replace(/\s+/g, ' ')).toMatch(message)
    expect([code, out]).toEqual([2, ''])
  })
})

test('of serving it is said which clients are fixed, and that some of them have nothing to send', async () => {
  const asked = 'search --model llama-3.1-8b --cluster dgx-h100 --phase serving --ranks 1 --workers 1 --top 1'
  const load = ['--serving-load-input', '256', '--serving-load-output', '16', '--serving-load-clients', '8']
  const fixed = await shardloom([...asked.split(' '), ...load, '--serving-load-requests', '4'])
  expect(fixed.out.replace(/\s+/g, ' ')).toContain("clients (the spec's 8 stays; --choose clients=… adds others)")
  expect(fixed.err).toContain('4 requests are all that 8 clients send')
  const chosen = await shardloom([...asked.split(' '), ...load, '--choose', 'clients=4,8'])
  expect(chosen.out).not.toContain('stays')
  expect(chosen.err).not.toContain('clients send')
})

test('a limit that the best keeps as simulated without it is one that it keeps', async () => {
  const engine = '--model llama-3.1-70b --cluster dgx-h100 --phase serving --weight-dtype fp8 --ranks 8 --workers 1'
  const load = '--serving-load-input 1024 --serving-load-output 256 --serving-load-clients 64'
  const asked = ['search', ...`${engine} ${load} --choose tp=4 --choose pp=1 --top 1 --json`.split(' ')]
  const free = JSON.parse((await shardloom(asked)).out)
  const { tpot } = free.best[0].metrics
  const { code, out, err } = await shardloom([...asked, '--limit', `tpot<=${1.001 * tpot}`])
  const kept = JSON.parse(out)
  expect([code, kept.best[0].name, kept.best[0].metrics]).toEqual([0, free.best[0].name, free.best[0].metrics])
  // Its estimate is above that.
  expect(kept.best[0].estimated.tpot).toBeGreaterThan(1.001 * tpot)
  expect(err).toContain('keeps them as simulated')
  expect(kept.nearMisses.map(({ name }: { name: string }) => name)).not.toContain(kept.best[0].name)
  // So judges --why.
  const limit = ['--limit', `tpot<=${1.001 * tpot}`]
  const why = await shardloom([
    ...asked.filter((word, at) => word !== '--top' && asked[at - 1] !== '--top'),
    ...limit,
    '--why',
    'tp=4',
  ])
  const { point, best } = JSON.parse(why.out)
  expect([why.code, point.metrics, best.name]).toEqual([0, kept.best[0].metrics, kept.best[0].name])
  // It stands on its own front, as simulated, wherever that is told.
  const cwd = temporaryFolder()
  const drawing = [
    ...asked.filter((word) => word !== '--json'),
    ...limit,
    '--front',
    'throughput,tpot',
    '--svg',
    'f.svg',
  ]
  const text = await shardloom(drawing, { cwd })
  const svg = readFileSync(join(cwd, 'f.svg'), 'utf8').replaceAll('\u00a0', ' ')
  const { front } = JSON.parse((await shardloom([...asked, ...limit, '--front', 'throughput,tpot'])).out)
  expect(front.map(({ name, metrics }: Told) => [name, metrics])).toEqual([[kept.best[0].name, kept.best[0].metrics]])
  expect(text.out).toContain('(number 1 above)')
  expect(svg).toContain('1 on the front')
  expect(svg).toContain('limit ')
  expect(svg).toMatch(new RegExp(`tpot ${(1000 * tpot).toPrecision(3)} ms`))
})

/** What is told of a candidate. */
interface Told {
  readonly name: string
  readonly metrics: Readonly<Record<string, number>> | null
}

const serving = ['search', '--model', 'llama-3.1-8b', '--cluster', 'dgx-h100', '--phase', 'serving', '--workers', '1']
const short = ['--serving-load-input', '1024', '--serving-load-output', '64']

test('where nothing fits there is no picture, the answer is told all the same, and the nearest comes first', async () => {
  const cwd = temporaryFolder()
  const drawn = ['--front', 'throughput,tpot', '--svg', 'f.svg']
  const asked = [...serving, ...short, '--ranks', '2', '--limit', 'tpot<=0.1ms']
  const { code, out, err } = await shardloom([...asked, ...drawn], { cwd })
  expect(code).toBe(3)
  expect(err).toContain('f.svg was not written: no candidate keeps all rules and limits')
  expect(existsSync(join(cwd, 'f.svg'))).toBe(false)
  const { nearMisses } = JSON.parse((await shardloom([...asked, '--json'])).out)
  const farthest = nearMisses.map(({ by, also }: { by: number; also: { by: number }[] }) =>
    Math.max(by, ...also.map((each) => each.by)),
  )
  expect(farthest.length).toBeGreaterThan(1)
  expect(farthest).toEqual([...farthest].sort((a, b) => a - b))
  // Its TPOT is so many times the tenth of a millisecond.
  const [{ estimated }] = nearMisses
  expect(out.replaceAll('\u00a0', ' ')).toContain(`tpot <= 100 µs by ${Math.round(estimated.tpot / 1e-4)} times`)
})

test('what fits after a change keeps all limits as simulated', async () => {
  const limits = { tpot: 0.02, ttft: 0.6 }
  const two = Object.entries(limits).flatMap(([metric, most]) => ['--limit', `${metric}<=${most}s`])
  const asked = [
    ...serving,
    '--ranks',
    '8',
    ...two,
    '--choose',
    'tp=1,4',
    '--choose',
    'pp=1',
    '--choose',
    'clients=48,96',
  ]
  const { nearMisses } = JSON.parse((await shardloom([...asked, '--json'])).out)
  const fixes = nearMisses.flatMap((near: { fixes: (Told & { change: string; misses: object[] })[] }) => near.fixes)
  expect(fixes.length).toBeGreaterThan(0)
  const text = (await shardloom(asked)).out.replace(/\s+/g, ' ')
  const fits = (metrics: Told['metrics']) =>
    Object.entries(limits).every(([name, most]) => (metrics?.[name] ?? Number.NaN) <= most)
  for (const { metrics, misses, change } of fixes) {
    expect(misses.length === 0).toBe(fits(metrics))
    if (!fits(metrics)) expect(text).toContain(`does not fit with ${change} `)
  }
  expect(fixes.some(({ metrics }: Told) => !fits(metrics))).toBe(true)
  for (const { fix, fixes } of nearMisses)
    expect(fix).toBe(fixes.find(({ metrics }: Told) => fits(metrics))?.change ?? null)
  // One whose estimate misses a limit that its simulation keeps breaks the other alone.
  const why = (await shardloom([...asked, '--why', 'tp=1,replicas=8,clients=96'])).out.replace(/\s+/g, ' ')
  expect(why).toContain('It breaks a rule: ttft <= 600 ms as simulated')
})
