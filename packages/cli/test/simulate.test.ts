import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { traceNote } from '../src/simulate-command.js'
import { shardloom, temporaryFolder } from './run-command.js'

const spec = '--model gpt2 --batch 8 --seq 512 --pp 2 --dp 2 --cluster dgx-h100'
const flat = (text: string) => text.replace(/\s+/g, ' ')
const simulate = (flags: string, options = {}) => shardloom(['simulate', ...flags.split(' ')], options)

describe('simulate', () => {
  test('speaks of one step, one layer and one client as of one', async () => {
    const one = '--model tiny --cluster dgx-h100 --batch 2 --seq 8 --zero 3 --dp 2 --tokens 16'
    const { out } = await simulate(one)
    expect(flat(out)).toContain('gathered 1 layer ahead')
    expect(flat(out)).toContain('in 1 step:')
    const serving = await simulate(
      '--model tiny --cluster dgx-h100 --phase serving --set options.serving.load.requests=1 --set options.serving.load.clients=1',
    )
    expect(flat(serving.out)).toContain('1 request from 1 client,')
    const both = [out, serving.out].map(flat).join(' ')
    expect(both.match(/(?<![\d.,])1 (\w+ )?(ranks|steps|layers|kinds|kernels|requests|clients|tokens|parts)\b/g)).toBe(
      null,
    )
  })

  test('says what a step takes within 80 columns', async () => {
    const { code, out, err } = await simulate(`${spec} --what-if`)
    expect([code, err]).toEqual([0, ''])
    expect(flat(out)).toContain('`shardloom search --changes` tries all degrees')
    expect(out.split('\n').filter((line) => [...line].length > 80)).toEqual([])
    for (const word of [
      'time',
      'tokens/s',
      'MFU',
      'bubble',
      'exposed',
      'Memory',
      'Critical path',
      'Bottleneck',
      'What if',
    ])
      expect(out).toContain(word)
  })

  test('names each tensor at the peak once, and axes that are joined in one way', async () => {
    const decode = await simulate(
      '--model gpt2 --phase decode --batch 64 --seq 64 --tp 2 --uneven ragged --cluster dgx-h100',
    )
    const [, told = ''] = /alive then(.*?)kept free/.exec(flat(decode.out)) ?? []
    const tensors = told.match(/decode\/\S+/g) ?? []
    expect(tensors).toContain('decode/head/logits')
    expect(new Set(tensors).size).toBe(tensors.length)
    const sharded = await simulate('--model gpt2 --batch 8 --seq 512 --dp 2 --cp 2 --zero 3 --cluster dgx-h100')
    expect(flat(sharded.out)).toMatch(/(all-gather|reduce-scatter) over dp·cp/)
    expect(flat(sharded.out)).not.toMatch(/dp and cp/)
  })

  test('as JSON: shares of one, and stages whose parts add up to the step', async () => {
    const { code, out } = await simulate(`${spec} --json`)
    expect(code).toBe(0)
    const { schema, stepSeconds, mfu, hfu, bubble, stages, memory, conventions } = JSON.parse(out)
    expect(schema).toBe('shardloom.simulate/1')
    for (const share of [mfu, hfu, bubble.global, bubble.ownSpan]) {
      expect(share).toBeGreaterThan(0)
      expect(share).toBeLessThan(1)
    }
    expect(hfu).toBeGreaterThanOrEqual(mfu)
    // NVIDIA 2023, H100 datasheet: 989 TFLOP/s dense in 16 bits, 80 GB.
    expect(conventions.peak).toBeCloseTo(989e12, -12)
    expect(memory.capacityBytes).toBeGreaterThan(79e9)
    for (const { computing, exposed, waiting } of stages) {
      const parts: number[] = [computing, waiting, ...Object.values<number>(exposed)]
      expect(parts.reduce((sum, each) => sum + each, 0)).toBeCloseTo(stepSeconds, 9)
    }
  })

  test('what is kept free, what tokens cost and how long they take are options', async () => {
    const flags = '--reserve-bytes 6e9 --tokens 1e9 --price-per-rank-hour 3.5'
    const { stepSeconds, memory, budget, energyJoules, conventions } = JSON.parse(
      (await simulate(`${spec} ${flags} --json`)).out,
    )
    expect(memory.reserveBytes).toBe(6e9)
    for (const [text, bytes] of [
      ['6000 MB', 6e9],
      ['3.5GiB', 3.5 * 2 ** 30],
    ] as const) {
      const { out } = await shardloom(['simulate', ...spec.split(' '), '--json', '--reserve-bytes', text])
      expect(JSON.parse(out).memory.reserveBytes).toBe(bytes)
    }
    for (const text of ['4 GBit', '-4 GB', '0x10', '1e300', 'much']) {
      const { code, err } = await shardloom(['simulate', ...spec.split(' '), `--reserve-bytes=${text}`])
      expect([code, err.replace(/\s+/g, ' ')]).toEqual([
        1,
        expect.stringMatching(/SPEC_VALUE.*`reserveBytes` is .*, but it must be a number of bytes .* 4 GB or 3\.5 GiB/),
      ])
    }
    // 8 sequences of 512 tokens in a step, on 4 ranks.
    const steps = Math.ceil(1e9 / (8 * 512))
    expect(budget.steps).toBe(steps)
    expect(budget.days).toBeCloseTo((steps * stepSeconds) / 86_400, 12)
    expect(budget.cost).toBeCloseTo((3.5 * 4 * steps * stepSeconds) / 3600, 9)
    // NVIDIA 2023, H100 datasheet: 700 W.
    expect(conventions.energy).toMatch(/^700 W/)
    expect(energyJoules).toBeLessThan(700 * 4 * stepSeconds)
    const text = (await simulate(`${spec} ${flags}`)).out
    for (const word of ['budget', 'rank-hours', 'per million tokens', '6.00 GB']) expect(text).toContain(word)
    expect(text).not.toContain('aiconfigurator')
  })

  test('one of a thing is told in the singular', async () => {
    const alone = await simulate('--model gpt2 --batch 8 --seq 512 --cluster dgx-h100 --tokens 1T')
    expect(flat(alone.out)).toMatch(/days on 1.rank,/)
    const decode = '--model llama-3.1-405b --cluster dgx-h100 --phase decode --tp 8 --pp 2 --batch 4 --seq 512'
    expect((await simulate(decode)).out).toMatch(/in 1 further kind\n/)
  })

  test('a slow rank makes the step longer, is among the ranks that are run, and must exist', async () => {
    const step = async (flags: string) => JSON.parse((await simulate(`${spec} --json ${flags}`.trim())).out)
    const even = await step('')
    const slow = await step('--slowdown 3=1.5')
    expect(slow.stepSeconds).toBeGreaterThan(even.stepSeconds)
    expect(slow.stages.map(({ rank }: { rank: number }) => rank)).toContain(3)
    // What would change nothing, or of two factors one, is not taken silently.
    expect((await simulate(`${spec} --slowdown 3=1`)).err).toMatch(/factor of 1.*nothing changes/s)
    expect((await simulate(`${spec} --slowdown 3=1.5 3=2`)).err).toMatch(/Rank 3 has a factor already, 1\.5/)
    expect((await simulate(`${spec} --slowdown 3=1.5 --slowdown 03=2`)).err).toMatch(/Rank 0?3 has a factor already/)
    expect((await simulate(`${spec} --slowdown 9=2`)).err).toContain('rank 9')
    expect((await simulate(`${spec} --slowdown fast`)).code).not.toBe(0)
  })

  test('a flag takes an object where the spec does, as the help for an unknown cluster proposes it', async () => {
    const flags = ['simulate', '--model', 'gpt2', '--batch', '8', '--dp', '2', '--json', '--cluster']
    const step = async (cluster: string) => JSON.parse((await shardloom([...flags, cluster])).out).stepSeconds
    expect(await step('{accelerator: h100-sxm, nodes: 8, perNode: 8}')).toBe(await step('{"accelerator": "h100-sxm"}'))
    expect((await shardloom([...flags, '{accelerator: [}'])).err).toContain('Cannot read --cluster')
  })

  test('names what its figures depend on within 80 columns', async () => {
    const { out } = await simulate(
      `${spec} --engine torchtitan --linear-dtype fp8 --zero 1 --recompute full --microbatch 2`,
    )
    expect(out.split('\n').filter((line) => [...line].length > 80)).toEqual([])
    for (const fact of [
      'batch 8',
      'seq 512',
      '2 microbatches',
      'schedule 1f1b',
      'engine torchtitan',
      'linear layers in fp8',
    ])
      expect(out).toContain(fact)
    for (const fact of ['ZeRO 1', 'recompute full', 'Megatron-LM r0.8']) expect(out).toContain(fact)
  })

  test('warns of a step that does not fit, and speaks of stages and levels only where there are several', async () => {
    const { out, err } = await simulate('--model llama-3.1-8b --batch 8 --tp 2 --cluster dgx-h100 --what-if')
    expect(err).toMatch(/warning the step does not fit: \S+ GB are missing/)
    expect(out).toContain('links of level `node` twice as fast')
    expect(out).not.toMatch(/stage|level `(?!node)/)
    // Each change of the plan is said to fit or not.
    for (const line of out.split('\n').filter((each) => / % {2}with `/.test(each)))
      expect(line).toMatch(/: (fits|does not fit) \(\S+ GB\)$/)
    expect(out).toContain('with `sequenceParallel: true`')
    expect(out.split('\n').filter((line) => [...line].length > 80)).toEqual([])
  })

  test('says in the warnings of JSON, too, that a step does not fit', async () => {
    const { out, err } = await simulate('--model llama-3.1-8b --batch 8 --tp 2 --cluster dgx-h100 --json')
    const { warnings, memory } = JSON.parse(out)
    expect(memory.fits).toBe(false)
    expect(warnings.at(-1)).toMatch(/^the step does not fit: \S+\sGB are missing$/)
    expect(err).toBe('')
    expect(JSON.parse((await simulate(`${spec} --json`)).out).warnings).toEqual([])
  })

  test('says what waits in host memory, as plan does', async () => {
    const flags = '--model gpt2 --batch 8 --seq 512 --pp 2 --cluster dgx-h100 --offload activations'
    const { out } = await simulate(flags)
    const planned = (await shardloom(['plan', ...flags.split(' ')])).out.replace(/\s+/g, ' ')
    const [, each, most] = /(\S+ \SB) in host memory (\S+ \SB) there at most/.exec(planned) ?? []
    expect(out).toMatch(new RegExp(` in the host +0: ${each} per microbatch, at most ${most}`))
    expect((await simulate(spec)).out).not.toContain('in the host')
  })

  test('writes a trace that is one document, whole', async () => {
    const folder = temporaryFolder()
    const traced = await simulate(`${spec} --trace out.json`, { cwd: folder })
    expect(traced.code).toBe(0)
    expect(flat(traced.err)).toMatch(/note out\.json .*ui\.perfetto\.dev or chrome:\/\/tracing/)
    expect(readdirSync(folder)).toEqual(['out.json'])
    const text = readFileSync(join(folder, 'out.json'), 'utf8')
    const { length } = JSON.parse(text).traceEvents
    expect(length).toBeGreaterThan(1000)
    const [, events = '', size, prefix] = /timeline, ([\d,]+) events in ([\d.]+) ([kM])B:/.exec(flat(traced.err)) ?? []
    expect(Number(events.replaceAll(',', ''))).toBe(length)
    const unit = prefix === 'M' ? 1e6 : 1e3
    expect(Math.abs((Number(size) * unit) / Buffer.byteLength(text) - 1)).toBeLessThan(0.01)
    expect(traced.err).not.toContain('gzip')
  })

  test('says before it simulates that a trace has nowhere to go', async () => {
    // A slow rank that the mesh lacks is an error of the simulation, which comes after.
    const { code, err } = await simulate(`${spec} --slowdown 999=2 --trace none/out.json`)
    expect((await simulate(`${spec} --slowdown 999=2`)).code).toBe(1)
    expect(code).toBe(1)
    expect(err).toContain('none/out.json: its folder does not exist')
  })

  test('of a large trace says how to get a smaller one', () => {
    expect(traceNote('out.json', { events: 2e6, bytes: 4e8 })).toMatch(/2,000,000 events in 400\sMB.*--batch.*gzip/)
  })

  test.each([
    ['--model gpt2 --batch 8', 'NO_CLUSTER', /Add one, such as `cluster: dgx-h100`/],
    ['--model gpt2 --batch 8 --cluster dgx-h10', 'UNKNOWN_CLUSTER', /dgx-h100/],
    ['--model gpt2 --batch 8 --cluster h100-sxm', 'UNKNOWN_CLUSTER', /\{accelerator: h100-sxm/],
    ['--model gpt2 --batch 64 --dp 64 --set cluster.preset=dgx-h100 --set cluster.nodes=2', 'CLUSTER_SIZE', /nodes: 8/],
    ['--model gpt2 --batch 8 --cluster ./none.yaml', 'FILE_MISSING', /none\.yaml/],
    [
      '--model gpt2 --batch 8 --cluster dgx-h100 --set options.engine.blocking=[dq]',
      'SPEC_VALUE',
      /blocking` names the axis .*dq.*Did you mean `dp`\?.*ulysses/s,
    ],
    [
      '--model gpt2 --batch 8 --cluster dgx-h100 --set options.engine.fused.xx=0.5',
      'SPEC_VALUE',
      /fused` names the axis .*xx.*tp/s,
    ],
    ['--model gpt2 --batch 8 --cluster dgx-h100 --set options.engine.traffic.nrm=2', 'SPEC_VALUE', /`norm`/],
    ['--model gpt2 --batch 8 --set options.engine.blocking=dp', 'SPEC_VALUE', /must be a list of axes/],
  ])('%s is refused with what would work', async (flags, code, help) => {
    const { code: exit, err } = await simulate(`${flags} --json`)
    expect(exit).toBe(1)
    expect(err).toContain(code)
    expect(err).toMatch(help)
  })
})

describe('simulate --help', () => {
  test('shows the flags of a load, and which engine is of what', async () => {
    const { out } = await simulate('--help')
    expect(out).toContain('--serving-load-clients')
    expect(out).toMatch(/--engine \(one step\):\n +usual/)
    expect(out).toMatch(/--serving-engine \(the phase serving\):\n +vllm, sglang, tensorrt-llm\./)
    expect((await shardloom(['plan', '--help'])).out).not.toContain('--serving-load-clients')
  })
})

describe('simulate serving', () => {
  const serving =
    '--model llama-3.1-8b --tp 2 --cluster dgx-h100 --phase serving --batch 4 --seq 512 --serving-load-requests 8'

  test('says what clients see within 80 columns', async () => {
    const { code, out, err } = await simulate(serving)
    expect(code).toBe(0)
    // Nobody says how long prompts and answers are: all are alike.
    expect(err).toMatch(/^warning .*lock-step.*\{from: \d+, to: 512\}.*\n$/)
    expect(out.split('\n').filter((line) => [...line].length > 80)).toEqual([])
    for (const word of ['time to first token', 'p99', 'KV cache', 'What limits', 'TPOT ±6 %, TTFT ±20 %'])
      expect(out).toContain(word)
  })

  test('as JSON: times in order, and tokens that add up', async () => {
    const { ttftSeconds, tpotSeconds, spread, pools, load } = JSON.parse((await simulate(`${serving} --json`)).out)
    expect(ttftSeconds).toBeGreaterThan(tpotSeconds)
    expect(spread.ttft.mean).toBe(ttftSeconds)
    expect(pools[0].prefillTokens).toBe(load.requests * 512)
    expect(pools[0].time.host + pools[0].time.tokens + pools[0].time.attention).toBeCloseTo(1, 12)
  })

  test('lengths are drawn from a list in a flag as from one in the spec', async () => {
    const drawn = await simulate(`${serving} --serving-load-output [10,20,30] --json`)
    expect(drawn.out).toBe((await simulate(`${serving} --set options.serving.load.output=[10,20,30] --json`)).out)
    expect(JSON.parse(drawn.out).load.meanOutput).toBeLessThanOrEqual(30)
  })

  test('answers of one token have no time per output token: null, and a dash', async () => {
    const one = `${serving} --set options.serving.load.output=1`
    expect(JSON.parse((await simulate(`${one} --json`)).out)).toMatchObject({
      tpotSeconds: null,
      spread: { tpot: null },
    })
    expect((await simulate(one)).out).toMatch(/time per output token +– +– +– +–/)
  })

  test('a trace of it is refused', async () => {
    expect((await simulate(`${serving} --trace out.json`)).code).toBe(2)
  })
})
