import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'

const base = 'model: gpt2\ncluster: dgx-h100\nbatch: 8\nseq: 256\n'

function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = temporaryFolder()
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), base + text)
  return folder
}

const three = {
  'a.yaml': 'parallel: {pp: 4}\n',
  'b.yaml': 'parallel: {dp: 4}\n',
  'c.yaml': 'parallel: {pp: 4}\noptions: {schedule: zbh1}\n',
}

describe('compare', () => {
  test('puts specs side by side within 80 columns', async () => {
    const { code, out } = await shardloom(['compare', 'a.yaml', 'b.yaml', 'c.yaml'], { cwd: folderWith(three) })
    expect(code).toBe(0)
    expect(out.split('\n').filter((line) => [...line].length > 80)).toEqual([])
    for (const word of ['parallel.pp', 'options.schedule', 'step', 'tokens/s', 'MFU', 'memory at most', 'bubble'])
      expect(out).toContain(word)
  })

  test('as JSON: each figure as simulate says it, differences to the first, ties within the stated error', async () => {
    const cwd = folderWith(three)
    const { out } = await shardloom(['compare', 'a.yaml', 'b.yaml', 'c.yaml', '--json'], { cwd })
    const { schema, phase, parameters, metrics, error, specs } = JSON.parse(out)
    expect([schema, phase]).toEqual(['shardloom.compare/1', 'training'])
    expect(specs.map(({ name }: { name: string }) => name)).toEqual(['a.yaml', 'b.yaml', 'c.yaml'])
    expect(parameters).toContainEqual({ field: 'parallel.pp', values: [4, 1, 4] })
    expect(parameters).toContainEqual({ field: 'options.schedule', values: [null, null, 'zbh1'] })
    const files = ['a.yaml', 'b.yaml', 'c.yaml']
    const runs = await Promise.all(files.map((file) => shardloom(['simulate', file, '--json'], { cwd })))
    const single = runs.map((run) => JSON.parse(run.out))
    const step = metrics.find(({ metric }: { metric: string }) => metric === 'stepSeconds')
    expect(step.values).toEqual(single.map(({ stepSeconds }) => stepSeconds))
    step.differences.forEach(({ relative, tie }: { relative: number; tie: boolean }, index: number) => {
      expect(relative).toBeCloseTo(step.values[index + 1] / step.values[0] - 1, 12)
      expect(tie).toBe(Math.abs(relative) <= error)
    })
    expect(metrics.find(({ metric }: { metric: string }) => metric === 'peakBytes').values).toEqual(
      single.map(({ memory }) => memory.peakBytes),
    )
  })

  test('a spec and itself tie in everything, and differ in nothing', async () => {
    const { out } = await shardloom(['compare', 'a.yaml', 'a.yaml', '--json'], { cwd: folderWith(three) })
    const { parameters, metrics } = JSON.parse(out)
    expect(parameters).toEqual([])
    for (const { differences } of metrics) expect(differences).toEqual([{ relative: 0, tie: true }])
  })

  test('a microbatch that is left out is the one sequence that training takes, and no difference from it', async () => {
    const cwd = folderWith({
      ...three,
      'one.yaml': 'parallel: {pp: 4}\nmicrobatch: 1\n',
      'two.yaml': 'microbatch: 2\n',
    })
    const parametersOf = async (...files: readonly string[]) =>
      JSON.parse((await shardloom(['compare', ...files, '--json'], { cwd })).out).parameters
    expect(await parametersOf('a.yaml', 'one.yaml')).toEqual([])
    expect(await parametersOf('a.yaml', 'two.yaml')).toContainEqual({ field: 'microbatch', values: [1, 2] })
  })

  test('a part of a step that changed little of it is small, whatever its own percentage', async () => {
    const cwd = folderWith({ 'a.yaml': 'parallel: {dp: 2}\n', 'b.yaml': 'parallel: {dp: 4}\n' })
    const [text, json] = await Promise.all(
      [[], ['--json']].map((flags) => shardloom(['compare', 'a.yaml', 'a.yaml', 'b.yaml', ...flags], { cwd })),
    )
    const { metrics, error } = JSON.parse(json?.out ?? '')
    const steps = metrics.find(({ metric }: { metric: string }) => metric === 'stepSeconds').values
    for (const { metric, part, unit, values, differences } of metrics) {
      expect(part).toBe(metric === 'bubble' || metric.startsWith('exposed '))
      if (!part) continue
      const whole = unit === 's' ? Math.min(...steps) : 1
      expect(differences[1].tie).toBe(Math.abs(values[2] - values[0]) <= error * whole)
    }
    const parts = (text?.out ?? '').split('\n').filter((line) => /^ +(bubble|exposed) /.test(line))
    expect(parts.length).toBeGreaterThan(1)
    for (const line of parts) expect(line).not.toContain('tie')
  })

  test('marks what does not fit above the memory of the device, and says what energy counts', async () => {
    // NVIDIA 2023, H100 datasheet: 80 GB. 8e9 parameters take 18 bytes each, of which ZeRO 3 leaves an eighth.
    const models = 'model: llama-3.1-8b\ncluster: dgx-h100\nbatch: 8\nseq: 256\n'
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'a.yaml'), `${models}parallel: {dp: 8}\n`)
    writeFileSync(join(cwd, 'b.yaml'), `${models}parallel: {dp: 8}\noptions: {zero: 3}\n`)
    const { out } = await shardloom(['compare', 'a.yaml', 'b.yaml'], { cwd })
    expect(out).toMatch(/memory at most +1\d\d GB ! +\d+\.\d GB +−/)
    expect(out).toMatch(/of a device +85\.9 GB +85\.9 GB/)
    expect(out.replace(/\s+/g, ' ')).toMatch(/!: does not fit in a device, beside the \S+ GB that are kept free\./)
    expect(out).toContain('at rated power while busy')
    expect(out.split('\n').filter((line) => [...line].length > 80)).toEqual([])
  })

  test('phases do not compare; nor does one spec alone', async () => {
    const cwd = folderWith({ 'a.yaml': '', 'b.yaml': 'phase: decode\n' })
    const { code, err } = await shardloom(['compare', 'a.yaml', 'b.yaml'], { cwd })
    expect(code).toBe(1)
    expect(err).toMatch(/COMPARE.*a\.yaml is training, b\.yaml is decode/)
    expect(err).toContain('phase: training')
    expect((await shardloom(['compare', 'a.yaml'], { cwd })).code).toBe(2)
  })

  test('serving is many steps: it is said what compares; an error of one spec names its file', async () => {
    const cwd = folderWith({ 'a.yaml': '', 'b.yaml': 'phase: serving\n', 'c.yaml': 'parallel: {tp: 5}\n' })
    const serving = await shardloom(['compare', 'a.yaml', 'b.yaml'], { cwd })
    expect(serving.err).toMatch(/COMPARE.*b\.yaml is serving: one step of training, prefill or decode/)
    expect((await shardloom(['compare', 'a.yaml', 'c.yaml'], { cwd })).err).toMatch(/^error\[\w+\] c\.yaml: /)
  })

  test('a phase of serving that a flag asks for is what serving plans, with a word of what is left out', async () => {
    const own = 'parallel: {dp: 2}\n'
    const serving =
      'phase: serving\noptions: {zero: 0, serving: {engine: vllm, load: {clients: 4}, prefill: {batch: 2}, decode: {batch: 16, options: {attention: materialised}}}}\n'
    const cwd = folderWith({ 'a.yaml': serving, 'b.yaml': own + serving })
    const refused = await shardloom(['compare', 'a.yaml', 'b.yaml'], { cwd })
    expect(refused.err).toMatch(/help: Compare one phase: `--phase prefill` or `--phase decode`/)
    const whole = JSON.parse((await shardloom(['plan', 'a.yaml', '--json'], { cwd })).out)
    for (const phase of ['prefill', 'decode'] as const) {
      const { code, out } = await shardloom(['compare', 'a.yaml', 'b.yaml', '--phase', phase, '--json'], { cwd })
      expect(code).toBe(0)
      const { notes, parameters } = JSON.parse(out)
      expect(parameters).toEqual([{ field: 'parallel.dp', values: [1, 2] }])
      expect(notes.join('\n')).toMatch(
        new RegExp(
          `a.yaml: a spec of serving is read as its phase ${phase}.*options.serving.engine.*options.serving.load`,
        ),
      )
      const plan = JSON.parse((await shardloom(['plan', 'a.yaml', '--phase', phase, '--json'], { cwd })).out)
      expect(plan.perRank).toEqual(whole[phase].perRank)
    }
    for (const [index, flags] of [['--what-if'], ['--trace', '-'], ['--slowdown', '0=1.5']].entries()) {
      const { err } = await shardloom(['simulate', 'b.yaml', ...flags], { cwd })
      expect(err).toMatch(/help: .*simulate one phase: `--phase prefill` or `--phase decode`/)
      const phase = index === 0 ? 'prefill' : 'decode'
      expect((await shardloom(['simulate', 'b.yaml', '--phase', phase, ...flags], { cwd })).code).toBe(0)
    }
    // A flag of serving and one of a phase contradict each other, and flags come before what the pool has.
    const both = await shardloom(['simulate', 'a.yaml', '--phase', 'decode', '--serving-load-clients', '4'], { cwd })
    expect(both.err).toMatch(/options\.serving\.load\.clients.*but the phase is decode/)
    const flagged = await shardloom(['plan', 'a.yaml', '--phase', 'prefill', '--batch', '4', '--json'], { cwd })
    expect(JSON.parse(flagged.out).perRank.flops).toBe(2 * whole.prefill.perRank.flops)
  })

  test('the result of a search is no spec: it is said which it holds, and how that is written', async () => {
    const cwd = folderWith({ 'a.yaml': '' })
    const result = { schema: 'shardloom.search/1', best: [{ spec: { model: 'gpt2' } }] }
    writeFileSync(join(cwd, 'found.json'), JSON.stringify(result))
    writeFileSync(join(cwd, 'why.json'), JSON.stringify({ ...result, best: null }))
    const { code, err } = await shardloom(['compare', 'a.yaml', 'found.json'], { cwd })
    expect(code).toBe(1)
    expect(err).toMatch(/SPEC_VALUE.*found\.json is the result of a search, not a spec/)
    expect(err).toMatch(/help: Its spec is `best\[0\]\.spec`.*`--spec best\.yaml`/)
    expect((await shardloom(['plan', 'why.json'], { cwd })).err).toMatch(/help: It holds specs.*`--spec best\.yaml`/)
  })

  test('what is ten times as much and more is told as a factor', async () => {
    const cwd = temporaryFolder()
    for (const batch of [1, 512])
      writeFileSync(join(cwd, `${batch}.yaml`), `model: gpt2\ncluster: dgx-h100\nbatch: ${batch}\nseq: 256\n`)
    const { out } = await shardloom(['compare', '1.yaml', '512.yaml'], { cwd })
    const { metrics } = JSON.parse((await shardloom(['compare', '1.yaml', '512.yaml', '--json'], { cwd })).out)
    const [first, second] = metrics.find(({ metric }: { metric: string }) => metric === 'stepSeconds').values
    expect(second / first).toBeGreaterThan(100)
    expect(out).toMatch(new RegExp(` step .* × ${Math.round(second / first)}\\n`))
  })

  test('days and cost of a budget of tokens, as simulate says them', async () => {
    const flags = ['--tokens', '1e9', '--price-per-rank-hour', '2', '--json']
    const cwd = folderWith(three)
    const { metrics } = JSON.parse((await shardloom(['compare', 'a.yaml', 'b.yaml', ...flags], { cwd })).out)
    const { budget } = JSON.parse((await shardloom(['simulate', 'b.yaml', ...flags], { cwd })).out)
    for (const name of ['days', 'cost', 'costPerMillionTokens'])
      expect(metrics.find(({ metric }: { metric: string }) => metric === name).values[1]).toBe(budget[name])
  })

  test('flags hold for all specs; what cannot be compared as it stands is noted', async () => {
    const cwd = folderWith({ 'a.yaml': 'parallel: {dp: 2}\n', 'b.yaml': 'parallel: {dp: 4}\n' })
    const { out } = await shardloom(['compare', 'a.yaml', 'b.yaml', '--cluster', 'dgx-a100', '--json'], { cwd })
    const { specs, notes } = JSON.parse(out)
    expect(specs.map(({ cluster }: { cluster: string }) => cluster)).toEqual(['dgx-a100', 'dgx-a100'])
    expect(notes.join()).toContain('ranks are not as many')
  })
})
