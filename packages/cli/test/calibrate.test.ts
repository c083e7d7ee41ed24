import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { calibrationOfSpecsWork, loadSpec, type Progress, runWork } from 'shardloom'
import { describe, expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'

const flags = ['--model', 'gpt2', '--cluster', 'dgx-h100', '--batch', '4', '--seq', '512', '--json']
const stepOf = async (...more: string[]) => {
  const { code, out, err } = await shardloom(['simulate', ...flags, ...more])
  expect([code, err]).toEqual([0, ''])
  return JSON.parse(out)
}

describe('calibrate', () => {
  test('moves a prediction towards what was measured, by a file that simulate reads', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'mine.json')
    const { stepSeconds } = await stepOf()
    const seconds = 1.2 * stepSeconds
    const path = join(folder, 'measured.csv')
    writeFileSync(path, `model,cluster,batch,seq,seconds\ngpt2,dgx-h100,4,512,${seconds}\n`)
    const { code, err } = await shardloom(['calibrate', path, '--out', file])
    expect(code).toBe(0)
    expect(err).toContain('measured.csv has 1 step for')
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      schema: 'shardloom.efficiency/1',
      accelerator: 'h100-sxm',
    })
    const fitted = await stepOf('--efficiency', file)
    expect(Math.abs(fitted.stepSeconds / seconds - 1)).toBeLessThan(0.02)
    expect(fitted.conventions.constants).toBe(`fitted to 1 measured step (${file})`)
  })

  test('prints each constant with what it is, within 80 columns', async () => {
    const path = join(temporaryFolder(), 'measured.csv')
    const { stepSeconds } = await stepOf()
    writeFileSync(path, `model,cluster,batch,seq,seconds\ngpt2,dgx-h100,4,512,${1.2 * stepSeconds}\n`)
    const { out } = await shardloom(['calibrate', path])
    expect(out.split('\n').filter((line) => [...line].length > 80)).toEqual([])
    // The rows are the constants of the file: none is forgotten, none has no meaning.
    const { values } = JSON.parse((await shardloom(['calibrate', path, '--out', '-'])).out)
    for (const name of Object.keys(values))
      expect(out).toMatch(new RegExp(`^ {2}${name} .* % {2}[a-z].*, [a-z ]+$`, 'm'))
    expect(out).toMatch(/^ {2}kernelSeconds +2e-6 +\S+ +\d+ % +kernel beside its work, s$/m)
    expect(out).toContain('0 %, no measurement depends on it')
  })

  test('says that measurements which contradict each other are explained no better', async () => {
    const path = join(temporaryFolder(), 'measured.csv')
    const { stepSeconds } = await stepOf()
    const rows = [stepSeconds / 2, 2 * stepSeconds].map((seconds) => `gpt2,dgx-h100,4,512,${seconds}\n`)
    writeFileSync(path, `model,cluster,batch,seq,seconds\n${rows.join('')}`)
    expect((await shardloom(['calibrate', path])).err).toContain('do they contradict each other?')
  })

  // A thousand milliseconds are a second, and of what peaks promise published steps sustain tenths (PaLM, arXiv:2204.02311, table 3).
  test('asks for the unit of a measurement that is a thousand times too long or too short', async () => {
    const path = join(temporaryFolder(), 'measured.csv')
    const { stepSeconds } = await stepOf()
    const warned = async (factor: number) => {
      writeFileSync(path, `model,cluster,batch,seq,seconds\ngpt2,dgx-h100,4,512,${factor * stepSeconds}\n`)
      return (await shardloom(['calibrate', path])).err.replace(/\s+/g, ' ')
    }
    expect(await warned(1000)).toMatch(/measurement 1 \(.* s\) is 1000 times as long as predicted .*milliseconds/)
    expect(await warned(0.001)).toMatch(/measurement 1 \(.* s\) is 1000 times as short as predicted .*one step/)
    expect(await warned(3)).not.toContain('milliseconds')
  })

  test.each([
    [
      'model,cluster,sequence,seconds\ngpt2,dgx-h100,512,1\n',
      /Measurement 1 of measured\.csv.*`sequence`/,
      /help: .*seq/,
    ],
    [
      'model,cluster,seconds\ngpt2,dgx-h100,1\ngpt2,dgx-h100,fast\n',
      /Measurement 2 of measured\.csv.*"fast"/,
      /above 0/,
    ],
    ['model,cluster,options.zero,seconds\ngpt2,dgx-h100,1,1\n', /`options\.zero`/, /Did you mean `zero`\?/],
    ['model,cluster,nothingLikeIt,seconds\ngpt2,dgx-h100,1,1\n', /`nothingLikeIt`/, /^.{0,160}$/m],
    ['model,cluster,time\ngpt2,dgx-h100,1\n', /model, cluster, time/, /seconds/],
    ['model,cluster,seconds,tp\ngpt2,dgx-h100,1,5\n', /Measurement 1 of measured\.csv \(line 2\): /, /help: /],
    ['model,cluster,seconds,seconds\ngpt2,dgx-h100,1,2\n', /`seconds` twice: in line 1, column 3 and 4/, /help: .*out/],
    ['model,cluster,micro-batch,seconds\ngpt2,dgx-h100,1,2\n', /`micro-batch`/, /`microbatch`/],
    ['model,gradient-dtype,gradientDtype,seconds\ngpt2,fp32,bf16,2\n', /one flag/, /help: .*out/],
    ['model,cluster,seconds\n\ngpt2,dgx-h100\n', /line 3 has 2 cells, the heading 3: none for\s+seconds/, /help: /],
    ['model,cluster,seconds\ngpt2,dgx-h100,1,234\n', /line 2 has 4 cells, the heading 3.*"234"/s, /double quotes/],
    ['model,cluster,seconds,\ngpt2,dgx-h100,1,234\n', /"234" in line 2, column 4/, /help: Name the column/],
    ['model,cluster,seconds\ngpt2,"dgx-h100,1\n', /quote in line 2/, /help: Close it/],
    ['model,cluster,seconds\ngpt2,dgx-h100,0x10\n', /Measurement 1 .*line 2.*"0x10"/s, /above 0/],
    ['model,cluster,seconds\ngpt2,dgx-h100,1e-300\n', /Measurement 1 .*line 2.*"1e-300"/s, /1e-6/],
    ['model,cluster,seconds\ngpt2,dgx-h100,NaN\n', /Measurement 1 .*line 2.*"NaN"/s, /above 0/],
    [
      'model,cluster,batch,seconds\ngpt2,dgx-h100,0x10,1\n',
      /Measurement 1 .*line 2.*`batch` is "0x10"/s,
      /whole number/,
    ],
    ['model,cluster,seconds\n', /no measurements/, /help: /],
    ['model,cluster,seconds\ngpt2,dgx-h100,1\ngpt2,,1\n', /Measurement 2 .*line 3.*no cluster/s, /cluster: dgx-h100/],
    ['[{"model": "gpt2",\n"seconds": 1, "seconds": 2}]', /`seconds` twice.*line 2/s, /help: .*out/],
    ['[{"model": "gpt2", "cluster": "dgx-h100",\n"seconds": NaN}]', /JSON/, /help: /],
  ])('says of %j in which row and column it is wrong', async (text, message, help) => {
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'measured.csv'), text)
    const { code, err } = await shardloom(['calibrate', 'measured.csv'], { cwd })
    expect(code).toBe(1)
    expect(err).toMatch(message)
    expect(err).toMatch(help)
  })

  test('warns where steps are fewer than constants, in JSON and beside constants on stdout too', async () => {
    const cwd = temporaryFolder()
    const write = async (rows: readonly number[]) => {
      const steps = rows.map(async (seq) => (await stepOf('--seq', String(seq))).stepSeconds)
      const lines = (await Promise.all(steps)).map((seconds, row) => `gpt2,dgx-h100,4,${rows[row]},${seconds}`)
      writeFileSync(join(cwd, 'measured.csv'), ['model,cluster,batch,seq,seconds', ...lines].join('\n'))
    }
    const call = ['calibrate', 'measured.csv']
    const warnings = async () => JSON.parse((await shardloom([...call, '--json'], { cwd })).out).warnings as string[]
    await write([512, 512, 64])
    const { fit } = JSON.parse((await shardloom([...call, '--out', '-'], { cwd })).out)
    expect([fit.measurements, fit.steps]).toEqual([3, 2])
    const said = `measured.csv has 2 different steps for ${fit.constants} constants: with fewer steps than constants`
    expect(await warnings()).toContainEqual(expect.stringContaining(said))
    for (const more of [[], ['--out', '-']])
      expect((await shardloom([...call, ...more], { cwd })).err.replace(/\s+/g, ' ')).toContain(`warning ${said}`)
    // As many different steps as constants.
    await write(Array.from({ length: fit.constants }, (_, index) => 64 * (index + 1)))
    expect((await warnings()).filter((each) => each.includes('fewer steps than constants'))).toEqual([])
  })

  test('reads cells with blanks around them; says what a fit leaves unexplained, and where it cannot be written', async () => {
    const cwd = temporaryFolder()
    const { stepSeconds } = await stepOf()
    // No constants explain two times of one spec.
    const lines = [1, 2].map((factor) => `gpt2 , dgx-h100, 4 ,512, ${factor * stepSeconds}`)
    writeFileSync(join(cwd, 'measured.csv'), ['model, cluster, batch, seq, seconds', ...lines].join('\n'))
    const { code, err } = await shardloom(['calibrate', 'measured.csv'], { cwd })
    expect(code).toBe(0)
    expect(err).toMatch(/warning .*measurement .*2 \(−/)
    const nowhere = await shardloom(['calibrate', 'measured.csv', '--out', 'none/mine.json'], { cwd })
    expect(nowhere).toMatchObject({ code: 1, err: expect.stringContaining('its folder does not exist') })
  })

  test('of a constant that moved it says no share of 0 %, and of one at its bound that it is', async () => {
    const cwd = temporaryFolder()
    const rows = [8, 1].map((tp, index) => `llama-3.1-8b,dgx-h100,${tp},decode,8,4096,${[0.004, 0.007][index]}`)
    writeFileSync(join(cwd, 'measured.csv'), ['model,cluster,tp,phase,batch,seq,seconds', ...rows].join('\n'))
    const { out } = await shardloom(['calibrate', 'measured.csv'], { cwd })
    const constants = [...out.matchAll(/^ {2}(\w+) +(\S+) +(\S+) +((?:< )?\d+ %)/gm)]
    expect(constants).toHaveLength(11)
    for (const [, name, before, after, share] of constants) if (before !== after) expect(share, name).not.toBe('0 %')
    expect(out).toMatch(/^ {2}reading +0\.93 +1 +[1-9]/m)
    expect(out).toContain('At its bound: reading.')
    const { out: help } = await shardloom(['calibrate', '--help'], { cwd })
    expect(help.split('\n').filter((line) => line.length > 80)).toEqual([])
  })

  test('shows each measurement beside its prediction, units, and where the constants went, within 80 columns', async () => {
    const cwd = temporaryFolder()
    const { stepSeconds } = await stepOf()
    const rows = Array.from({ length: 12 }, () => `gpt2,dgx-h100,4,512,${stepSeconds}`)
    const write = (lines: string[]) =>
      writeFileSync(join(cwd, 'measured.csv'), ['model,cluster,batch,seq,seconds', ...lines].join('\n'))
    write(rows.slice(0, 1))
    const one = await shardloom(['calibrate', 'measured.csv'], { cwd })
    expect(one.out).toMatch(/fitted to 1 measured step\n/)
    expect(one.out).toMatch(/measurement +measured +predicted +error\n.*\n +1 +([\d.]+ ms) +\1 +±0\.0 %/)
    expect(one.out).toMatch(/kernelSeconds +\S+ +\S+ +\d+ % +kernel beside its work, s\n/)
    expect(one.out).toContain('nothing was saved: --out')
    write(rows)
    const many = await shardloom(['calibrate', 'measured.csv', '--out', 'mine.json'], { cwd })
    expect(many.out).toContain('and 2 more')
    expect(many.err.replace(/\s+/g, ' ')).toContain(
      `warning measurements ${rows.map((_, index) => index + 1).join(', ')} of`,
    )
    expect(many.out).toContain('written to mine.json')
    expect(`${one.out}${many.out}`.split('\n').filter((line) => [...line].length > 80)).toEqual([])
    // Twelve times the same step are one equation: as good as no measurement of the accelerator.
    expect((await stepOf('--efficiency', join(cwd, 'mine.json'))).conventions.error).toBe(0.15)
  })

  test('refuses measurements without seconds, and constants of another accelerator', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'mine.json')
    writeFileSync(file, '{"schema": "shardloom.efficiency/1", "accelerator": "h100-sxm", "values": {"matmul": 0.6}}')
    const path = join(folder, 'none.json')
    writeFileSync(path, '[{"model": "gpt2", "cluster": "dgx-h100"}]')
    expect(await shardloom(['calibrate', path])).toMatchObject({
      code: 1,
      err: expect.stringContaining('error[CALIBRATE]'),
    })
    const other = await shardloom(['simulate', '--model', 'gpt2', '--cluster', 'dgx-a100', '--efficiency', file])
    expect(other).toMatchObject({ code: 1, err: expect.stringContaining('error[EFFICIENCY_VALUE]') })
  })

  test('of equal specs plans one; only a terminal hears of progress', async () => {
    const loaded = () => loadSpec({ model: 'gpt2', cluster: 'dgx-h100', batch: 4, seq: 512 })
    const measured = await Promise.all(
      [0.02, 0.021, 0.022].map(async (seconds) => ({ loaded: await loaded(), seconds })),
    )
    const told: Progress[] = []
    const summary = await runWork(calibrationOfSpecsWork(measured), { progress: (each) => told.push(each) })
    expect(told.filter(({ work }) => work === 'planning').map(({ done }) => done)).toEqual([0])
    const shares = told.filter(({ work }) => work === 'fitting').map(({ done, of }) => done / of)
    expect(shares.length).toBeGreaterThan(0)
    expect(shares.at(-1)).toBeLessThanOrEqual(1)
    const [one = 0, ...others] = summary.after.map((error, index) => (1 + error) * (measured[index]?.seconds ?? 0))
    for (const other of others) expect(other).toBeCloseTo(one, 12)
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'measured.csv'), 'model,cluster,batch,seq,seconds\ngpt2,dgx-h100,4,512,0.02\n')
    const { err } = await shardloom(['calibrate', 'measured.csv', '--out', 'mine.json'], { cwd })
    expect(err).not.toMatch(/planning|fitting|\r/)
  })
})
