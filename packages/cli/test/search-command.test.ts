import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'
import { asked, pointed, small, training, wide, wordsOf } from './small-search.js'

describe('search', () => {
  test('the best is what simulate says of its spec, of its flags, and of its point', async () => {
    const cwd = temporaryFolder()
    const { code, out } = await shardloom([...small, '--spec', 'best.yaml', '--json'], { cwd })
    expect(code).toBe(0)
    const found = JSON.parse(out)
    const [best] = found.best
    const simulated = JSON.parse((await shardloom(['simulate', 'best.yaml', '--json'], { cwd })).out)
    expect(simulated.stepSeconds).toBe(best.metrics['step-time'])
    expect(simulated.memory.peakBytes).toBe(best.metrics['peak-memory'])
    expect(simulated.world).toBe(8)

    const text = await shardloom(small, { cwd })
    const line = text.out.split('\n').find((each) => each.startsWith('  shardloom simulate '))
    const again = await shardloom([...wordsOf(line ?? '').slice(1), '--json'], { cwd })
    expect(JSON.parse(again.out).stepSeconds).toBe(best.metrics['step-time'])
    expect(wide(text.out).filter((each) => each !== line)).toEqual([])

    const { tp, pp, zero } = Object.fromEntries(best.name.split(' ').map((each: string) => each.split('=')))
    const why = await shardloom([...pointed, '--why', `tp=${tp},pp=${pp},zero=${zero}`, '--json'], { cwd })
    expect(why.code).toBe(0)
    expect(JSON.parse(why.out).point.score).toBe(best.score)
    expect(JSON.parse(why.out).toBest).toBe(0)
  })

  test('the JSON document counts all candidates, and orders the best by their simulation', async () => {
    const { out } = await shardloom([...small, '--front', 'step-time,throughput', '--json'])
    const found = JSON.parse(out)
    expect(found.schema).toBe('shardloom.search/1')
    expect(found.objective).toBe('step-time')
    expect(found.seconds).toBeGreaterThan(0)
    const { total, rejected, bounded, evaluated } = found.candidates
    const fallen = Object.values<number>(rejected).reduce((sum, count) => sum + count, 0)
    expect(fallen + bounded + evaluated).toBe(total)
    const scores = found.best.map(({ score }: { score: number }) => score)
    expect(scores).toEqual([...scores].sort((a, b) => a - b))
    for (const { metrics, estimated, differences, misses } of found.best) {
      expect(misses).toEqual([])
      expect(differences['step-time']).toBeCloseTo(estimated['step-time'] / metrics['step-time'] - 1, 12)
      // Tokens of a step over its time.
      expect(metrics['tokens-per-second']).toBeCloseTo((16 * 4096) / metrics['step-time'], 6)
    }
    // More of one metric is less of the other: the front is one point.
    expect(found.front.length).toBe(1)
    const times = found.best.map(({ estimated }: { estimated: Record<string, number> }) => estimated['step-time'])
    for (const { spec, rule, by, fix, fixes, estimated } of found.nearMisses) {
      expect([typeof spec, typeof rule, typeof by]).toEqual(['object', 'string', 'number'])
      expect(fix === null || /^\w+=/.test(fix)).toBe(true)
      // It would be better than the best, and what keeps the rule stands among the best.
      expect(estimated['step-time']).toBeLessThan(Math.min(...times))
      for (const each of fixes) expect(each.estimated['step-time']).toBeLessThanOrEqual(Math.max(...times))
    }
  })

  test('shards that are merged are the whole, and the winner of either has the same spec', async () => {
    const cwd = temporaryFolder()
    for (const index of [1, 2])
      expect((await shardloom([...small, '--shard', `${index}/2`, '--out', `${index}.json`], { cwd })).code).toBe(0)
    const merged = await shardloom(['search', '--merge', '2.json', '1.json', '--json'], { cwd })
    const whole = await shardloom([...small, '--json'], { cwd })
    const { seconds: _, candidates, ...rest } = JSON.parse(whole.out)
    const { candidates: counted, ...other } = JSON.parse(merged.out)
    expect(other).toEqual(rest)
    expect(counted.total).toBe(candidates.total)
    expect(other.missing).toEqual([])
    const half = await shardloom(['search', '--merge', '1.json'], { cwd })
    const odd = Array.from({ length: 32 }, (_, index) => 2 * index + 1)
    const lacking = JSON.parse((await shardloom(['search', '--merge', '1.json', '--json'], { cwd })).out)
    expect([lacking.missing, lacking.interrupted]).toEqual([odd, false])
    expect(half.code).toBe(1)
    expect(half.err.replace(/\s+/g, ' ')).toContain('32 of 64 parts are missing')
  })

  test('where nothing fits it is said by how much, and what would help', async () => {
    const cwd = temporaryFolder()
    const { code, out } = await shardloom([...small, '--model', 'llama-3.1-70b'], { cwd })
    expect(code).toBe(3)
    expect(out).toMatch(
      /Nothing fits\. What misses by least\n {2}memory by \S+ GB of a rank \(\d+\.\d % of its memory\)/,
    )
    const { nearMisses, best } = JSON.parse(
      (await shardloom([...small, '--model', 'llama-3.1-70b', '--json'], { cwd })).out,
    )
    expect(best).toEqual([])
    const [{ rule, by, bytes, fix, spec }] = nearMisses
    expect(rule).toBe('memory')
    // A DGX H100 has 80 GiB per GPU, as nvidia-smi counts them.
    expect(bytes).toBeCloseTo(by * 80 * 2 ** 30, -1)
    // Memory is too little of it by what simulate finds too.
    writeFileSync(join(cwd, 'miss.json'), JSON.stringify(spec))
    const { memory } = JSON.parse((await shardloom(['simulate', 'miss.json', '--json'], { cwd })).out)
    expect(memory.fits).toBe(false)
    expect(Math.abs(memory.peakBytes + memory.reserveBytes - memory.capacityBytes - bytes)).toBeLessThan(
      0.05 * memory.capacityBytes,
    )
    // The change that is named does help.
    const { name } = nearMisses[0].fixes[0]
    expect(name).toContain(fix.split(' ').at(-1))
    const chosen = Object.fromEntries(name.split(' ').map((each: string) => each.split('=')))
    const flags = ['dp', 'tp', 'pp', 'microbatch', 'zero'].flatMap((flag) => [`--${flag}`, chosen[flag]])
    const helped = await shardloom(['simulate', ...training, '--model', 'llama-3.1-70b', ...flags, '--json'])
    expect(JSON.parse(helped.out).memory.fits).toBe(true)
  })

  test('limits that nothing keeps, and one point that breaks a rule', async () => {
    const limited = await shardloom([...small, '--limit', 'step-time<=1ms', '--json'])
    expect(limited.code).toBe(3)
    expect(JSON.parse(limited.out).candidates.rejected['step-time<=0.001']).toBeGreaterThan(0)
    const text = await shardloom([...small, '--limit', 'step-time<=1ms'])
    expect(text.out).toMatch(/rejected by {2}.*step-time <= 1\.00 ms: \d+/)
    expect(text.out).toMatch(/\n {2}step-time <= 1\.00 ms by \S+ times/)
    const why = await shardloom([...pointed, '--why', 'tp=1,pp=1,zero=0'])
    expect(why.code).toBe(3)
    expect(why.out).toContain('It breaks a rule: memory')
    expect(why.out).toContain('is estimated to fit with zero=1')
    expect(wide(why.out)).toEqual([])
  })

  test('changes of a spec are better than it, by no more than two choices', async () => {
    const { code, out } = await shardloom([...asked, '--tp', '2', '--dp', '2', '--pp', '2', '--changes', '--json'])
    expect(code).toBe(0)
    const { from, changes } = JSON.parse(out)
    expect(from.name).toContain('tp=2')
    expect(changes.length).toBeGreaterThan(1)
    for (const { change, estimated } of changes) {
      if (change === null) continue
      expect(change.split(' ').length).toBeLessThanOrEqual(2)
      expect(estimated['step-time']).toBeLessThan(from.estimated['step-time'])
    }
  })

  test('changes that tie with the best are told, and so is the spec where it does itself', async () => {
    const within = asked.map((word) => (word === 'pp=1,2' ? 'pp=2' : word))
    const flags = [...within, '--tp', '2', '--dp', '2', '--pp', '2', '--changes']
    const [text, json] = await Promise.all([shardloom(flags), shardloom([...flags, '--json'])])
    const { changes } = JSON.parse(json.out)
    const said = text.out.replace(/\s+/g, ' ')
    const error = Number(/Differences up to ±(\d+) %.* are ties/.exec(said)?.[1]) / 100
    const [best] = changes
    for (const { tie, metrics } of changes)
      expect(tie).toBe(metrics['step-time'] <= (1 + error) * best.metrics['step-time'])
    // Of pipelines of two stages ZeRO 1 changes what the optimizer does alone, a hundredth of this step.
    expect(changes).toContainEqual(expect.objectContaining({ change: null, tie: true }))
    expect(said).toMatch(/ties? with number 1: no change of the spec is known to be better than none/)
  })

  test('changes are compared with the spec as it is, and the command of the best simulates it', async () => {
    const cwd = temporaryFolder()
    const flags = [...asked, '--tp', '2', '--dp', '2', '--pp', '2', '--changes']
    const { out } = await shardloom(flags, { cwd })
    const line = out.split('\n').find((each) => each.startsWith('  shardloom simulate ')) ?? ''
    const seconds = async (words: readonly string[]) =>
      JSON.parse((await shardloom([...words, '--json'], { cwd })).out).stepSeconds
    const best = await seconds(wordsOf(line).slice(1))
    expect(line.match(/--pp /g)).toHaveLength(1)
    const own = await seconds(['simulate', ...training, '--tp', '2', '--dp', '2', '--pp', '2'])
    expect(out).toContain('to as it is')
    const told = /\n +1 .* −([\d.]+) % +\S+ %\n/.exec(out)?.[1]
    expect(Number(told)).toBeCloseTo(100 * (1 - best / own), 0)

    await shardloom([...flags, '--spec', 'best.yaml', '--json'], { cwd })
    expect(await seconds(['simulate', 'best.yaml'])).toBe(best)
  })

  test('a table for spreadsheets, a picture of the front, and flags of a launcher', async () => {
    const cwd = temporaryFolder()
    const csv = await shardloom([...small, '--csv'], { cwd })
    const rows = csv.out.split('\r\n')
    expect(rows[0]).toMatch(/^place,dp,.*step-time,step-time estimated,.*misses$/)
    expect(rows.length).toBe(4)
    const front = ['--front', 'step-time,peak-memory', '--svg', 'front.svg', '--launcher', 'megatron']
    const drawn = await shardloom([...small, ...front], { cwd })
    expect(readFileSync(join(cwd, 'front.svg'), 'utf8')).toMatch(/^<svg[^>]*>/)
    expect(drawn.out).toContain('--tensor-model-parallel-size')
    expect(drawn.out).toContain('The front of least step-time and least peak-memory')
  })

  test('a launcher that cannot be told of the best is told of the first that it can be told of', async () => {
    const degrees = ['pp=4', 'tp=2', 'cp=1', 'ulysses=1', 'schedule=zbv,1f1b'].flatMap((each) => ['--choose', each])
    const flags = ['--model', 'llama-3.1-8b', '--cluster', 'dgx-h100', '--ranks', '8', '--batch', '32', ...degrees]
    const { out, err, code } = await shardloom([
      'search',
      ...flags,
      '--workers',
      '1',
      '--launcher',
      'megatron',
      '--json',
    ])
    const { best, launch } = JSON.parse(out)
    // Megatron-LM runs no zero-bubble schedule (its arguments.py).
    const first = best.findIndex(({ name }: { name: string }) => name.includes('schedule=1f1b'))
    expect(first).toBeGreaterThan(0)
    expect(launch).toMatchObject({ launcher: 'megatron', place: first + 1 })
    expect(err.match(/megatron cannot be told of/g)).toHaveLength(1)
    expect(code).toBe(0)
  })

  test('the one reason why a launcher can be told of none of the best is told once, and how to search others', async () => {
    // torchtitan divides all states (FSDP) or none (DDP): `data_parallel_shard_degree` has no level between.
    const dividing = small.map((word) => (word === 'zero=0,1' ? 'zero=1' : word))
    const { err, code } = await shardloom([...dividing, '--launcher', 'torchtitan'])
    const text = err.replace(/\s+/g, ' ')
    expect(text.match(/torchtitan cannot be told of/g)).toHaveLength(1)
    expect(text).toMatch(/cannot be told of any of the 2 best, LAUNCHER: `options.zero` is 1/)
    expect(text).toContain('Add --choose zero=0,3 to search only what torchtitan can be told of')
    expect(code).toBe(1)
  })

  test('the flag that is told keeps a search to what a launcher can be told of', async () => {
    // What Megatron-LM runs are 1F1B and interleaved 1F1B: its pipeline_parallel/schedules.py.
    const choices = ['pp=4', 'tp=2', 'cp=1', 'ulysses=1'].flatMap((each) => ['--choose', each])
    const flags = ['--model', 'llama-3.1-8b', '--cluster', 'dgx-h100', '--ranks', '8', '--batch', '32', ...choices]
    const asked = ['search', ...flags, '--workers', '1', '--launcher', 'megatron', '--top', '2']
    const refused = await shardloom([...asked, '--choose', 'schedule=zbh1,zbv'])
    const [, told = ''] = /Add --choose (\S+) to search/.exec(refused.err.replace(/\s+/g, ' ')) ?? []
    expect([refused.code, told]).toEqual([1, 'schedule=1f1b,interleaved1f1b'])
    const { code, out } = await shardloom([...asked, '--choose', told])
    expect(code).toBe(0)
    expect(out).toContain('--pipeline-model-parallel-size 4')
  })

  test('serving keeps its limits as simulated', async () => {
    const choices = ['--choose', 'clients=16,64', '--choose', 'tp=2,4', '--choose', 'pp=1']
    const flags = [
      '--model',
      'llama-3.1-8b',
      '--cluster',
      'dgx-h100',
      '--phase',
      'serving',
      '--ranks',
      '4',
      '--workers',
      '1',
    ]
    const { code, out } = await shardloom(['search', ...flags, ...choices, '--limit', 'tpot<=12ms', '--json'])
    expect(code).toBe(0)
    const { best, candidates } = JSON.parse(out)
    expect(best[0].metrics.tpot).toBeLessThanOrEqual(0.012)
    expect(candidates.rejected.tpot).toBeGreaterThan(0)
  })

  test('a limit of serving that nothing keeps is told once', async () => {
    const engines = ['--phase', 'serving', '--choose', 'clients=16', '--choose', 'tp=2,4', '--choose', 'pp=1']
    const { code, out } = await shardloom([
      ...['search', '--model', 'llama-3.1-8b', '--cluster', 'dgx-h100', '--ranks', '4', '--workers', '1'],
      ...[...engines, '--limit', 'ttft<=2ms'],
    ])
    expect(code).toBe(3)
    expect(out).toMatch(/\n {2}ttft <= 2\.00 ms by \d+ times\n/)
    expect(out).not.toMatch(/, and ttft/)
  })

  test.each([
    ['prefill', 'ttft', 'ttftSeconds', ['cp=1,2', 'ulysses=1', 'sequenceParallel=false']],
    ['decode', 'tpot', 'tpotSeconds', []],
  ] as const)('the best step of %s is what simulate says of its spec', async (phase, metric, field, more) => {
    const cwd = temporaryFolder()
    const choices = ['tp=1,2,4', 'pp=1,2', ...more].flatMap((choice) => ['--choose', choice])
    const flags = [...asked.slice(0, asked.indexOf('--top')), '--phase', phase, ...choices]
    const { code, out } = await shardloom([...flags, '--spec', 'best.yaml', '--json'], { cwd })
    expect(code).toBe(0)
    const { best } = JSON.parse(out)
    const simulated = JSON.parse((await shardloom(['simulate', 'best.yaml', '--json'], { cwd })).out)
    expect(simulated[field]).toBe(best[0].metrics[metric])
    expect(simulated.memory.peakBytes).toBe(best[0].metrics['peak-memory'])
    expect(Math.abs(best[0].differences[metric])).toBeLessThan(0.01)
    const changes = await shardloom([...flags, '--changes'], { cwd })
    expect(changes.code).toBe(0)
    expect(changes.out).toMatch(/changes of one choice or two are better/)
  })

  test('the fewest ranks for a target keep it, and no fewer do', async () => {
    const target = ['--objective', 'ranks', '--limit', 'tokens-per-second>=30000']
    const flags = [...small, ...target]
    const found = JSON.parse((await shardloom([...flags, '--json'])).out)
    const [{ metrics, spec }] = found.best
    expect(metrics['tokens-per-second']).toBeGreaterThanOrEqual(30_000)
    expect(Object.values<number>(spec.parallel).reduce((all, degree) => all * degree, 1)).toBe(metrics.ranks)
    expect(found.choices.ranks).toEqual([1, 2, 4, 8])
    const fewer = found.choices.ranks.filter((count: number) => count < metrics.ranks)
    expect(fewer.length).toBeGreaterThan(0)
    const none = await shardloom([...flags, '--choose', `ranks=${fewer}`])
    expect(none.code).toBe(3)
    expect(none.out).toMatch(/is estimated to fit with/)
    const text = await shardloom(flags)
    expect(text.out).toContain('training on up to 8 ×')
    expect(text.out).toContain('least ranks')
  })

  const bad: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['--objective', 'tpot'], 1, /OBJECTIVE.*Training has no `tpot`/],
    [['--limit', 'step-time<=1s', '--limit', 'step-time>=2s'], 1, /LIMITS.*at most 1 s and at least 2 s/],
    [
      ['--limit', 'peak-memory<=4e10', '--limit', 'peak-memory>=60GB'],
      1,
      /LIMITS.*most 40\.0 GB and at least 60\.0 GB/,
    ],
    [['--limit', 'step-time<1s'], 2, /USAGE/],
    [['--limit', 'step-time<=1GB'], 2, /has no unit `GB`/],
    [['--limit', 'steptime<=60s'], 2, /no metric `steptime`.*Did you mean `step-time`\?\s/],
    [['--choose', 'tpp=1'], 1, /CHOICE.*`tpp`/],
    [['--choose', 'tp=1', '--choose', 'tp=2'], 2, /given twice/],
    [['--keep', 'nothing'], 1, /CHOICE.*`nothing`/],
    [['--phase', 'decode', '--objective', 'ttft'], 1, /OBJECTIVE.*Decode has no `ttft`.*It has tpot, /],
    [['--phase', 'prefill', '--limit', 'step-time<=1s'], 1, /OBJECTIVE.*Prefill has no `step-time`.*It has ttft, /],
    [['--phase', 'decode', '--steps', '2'], 1, /SPEC_VALUE.*of one step/],
    [['--choose', 'ranks=0'], 1, /CHOICE.*`ranks` cannot be 0/],
    [['--choose', 'tp=1,2,x'], 1, /CHOICE.*`tp` cannot be x\. help: Use whole numbers from 1/],
    [['--choose', 'tp=true'], 1, /CHOICE.*`tp` cannot be true/],
    [['--choose', 'microbatch=1,two'], 1, /CHOICE.*`microbatch` cannot be two/],
    [['--choose', 'ranks=8,x'], 1, /CHOICE.*`ranks` cannot be x/],
    [['--choose', 'sequenceParallel=true,maybe'], 1, /SPEC_VALUE.*"maybe".*true or false/],
    [['--choose', 'recompute=none,some'], 1, /SPEC_VALUE.*"some".*none, selective, full/],
    [['--choose', 'order=tp,xx'], 1, /SPEC_VALUE.*axis "xx".*Axes: .*tp/],
    [['--keep', 'tq'], 1, /CHOICE.*`tq`.*Did you mean `tp`/],
    [['--why', 'tp=x'], 1, /CHOICE.*`tp` cannot be x/],
    [['--phase', 'serving', '--choose', 'tp=1,x'], 1, /CHOICE.*whole numbers from 1; one is "x"/],
    [['--phase', 'serving', '--choose', 'weightDtype=fp8,fp7'], 1, /SPEC_VALUE.*"fp7".*bf16/],
    [
      ['--phase', 'serving', '--limit', 'ttft-p99<=1s'],
      1,
      /OBJECTIVE.*by means over requests, and `ttft-p99` is a percentile.*Use `ttft`/,
    ],
    [['--phase', 'serving', '--changes'], 1, /PHASE.*the phase is serving.*Leave --changes out/],
    [['--limit', 'ranks<=4', '--limit', 'ranks>=8'], 1, /LIMITS.*`ranks`/],
    [['--why', 'tp=3'], 1, /CHOICE.*No candidate has tp=3.*3 does not divide 8 ranks.*have to divide the ranks/],
    [['--why', 'tp=1,sequenceParallel=true'], 1, /CHOICE.*splits the sequence over the ranks of tp.*tp of 2 or more/],
    [['--keep', 'tp', '--why', 'sequenceParallel=true'], 1, /CHOICE.*tp=1 is one rank/],
    [
      ['--why', 'dp=8,microbatch=32'],
      1,
      /CHOICE.*microbatch=32 of each of 8 dp ranks does not divide the batch of \d+/,
    ],
    [
      ['--choose', 'offload=none,activations', '--why', 'recompute=stages,offload=activations'],
      1,
      /CHOICE.*offload=none/,
    ],
    [['--why', 'tp=8,pp=4'], 1, /CHOICE.*8 × 4 = 32 is more than 8 ranks/],
    [['--worker'], 2, /--queue/],
    [['--shard', '1/2', '--json'], 2, /--json has no effect with --shard/],
    [['--svg', 'x.svg'], 2, /--front/],
    [['--launcher', 'none'], 2, /no launcher/],
    [['--out', 'x.json'], 2, /--shard/],
    [['--queue', 'redis://localhost', '--plugin', 'missing.js'], 1, /PLUGIN/],
    [['--ranks', '0'], 2, /whole number/],
    [['--ranks', '1000000000000'], 2, /whole number, 1 to 999,999,999/],
  ]
  test.each(bad)('refuses %j', async (flags, status, message) => {
    const { code, out, err } = await shardloom(
      [
        'search',
        ...training,
        ...(flags.includes('--worker') ? [] : ['--ranks', '8']),
        ...(flags.includes('--worker') || flags.includes('serving') ? [] : ['--choose', 'cp=1']),
        ...flags,
      ],
      {
        cwd: temporaryFolder(),
      },
    )
    expect(err.replace(/\s+/g, ' ')).toMatch(message)
    expect([code, out]).toEqual([status, ''])
  })

  test('ranks that nothing divides are explained', async () => {
    const { code, out } = await shardloom([...small, '--ranks', '37'])
    expect(code).toBe(3)
    expect(out).toContain('There is no candidate.')
  })

  test('plugins do not go through a queue', async () => {
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'own.js'), "export default { name: 'own' }\n")
    const { code, err } = await shardloom([...small, '--plugin', './own.js', '--queue', 'redis://localhost:1'], { cwd })
    expect(code).toBe(1)
    expect(err).toMatch(/QUEUE.*Plugins do not go through a queue/)
  })
})
