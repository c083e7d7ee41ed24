import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readSchedule, type ScheduleSummary } from 'shardloom/schedules'
import { describe, expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'

const reference = process.env.SHARDLOOM_REFERENCE
const load = (file: string) => readFileSync(join(reference ?? '', 'reference/schedules', file), 'utf8')
const plain = (csv: string) => csv.replaceAll('\r', '').trim()

/** Runs `shardloom schedule` with flags as one text. */
function schedule(flags: string, options: { cwd?: string; input?: string } = {}) {
  return shardloom(['schedule', ...flags.split(' ').filter(Boolean)], options)
}

async function document(flags: string, options: { cwd?: string; input?: string } = {}): Promise<ScheduleSummary> {
  const { code, out, err } = await schedule(`${flags} --json`, options)
  expect([code, err]).toEqual([0, ''])
  return JSON.parse(out)
}

const sum = (values: readonly number[]) => values.reduce((total, each) => total + each, 0)

// All files are compared through the functions in packages/schedules/test/reference.test.ts.
describe.skipIf(reference === undefined)('orders of others, through the command', () => {
  test.each([
    ['--name 1f1b --pp 4 --microbatches 8', 'derived/1f1b_p4_m8.csv'],
    ['--name zb-h1 --pp 8 --microbatches 16', 'derived/zbh1_p8_m16.csv'],
    ['--name zbv-torch --pp 4 --microbatches 8', 'derived/zbv-torch_p4_m8.csv'],
    ['--name dualpipe --pp 8 --microbatches 20', 'derived/dualpipe_p8_m20.csv'],
    ['--name dualpipev --pp 4 --microbatches 10', 'torch/dualpipev_4rank_10mb.csv'],
    ['--name vpp --pp 4 --microbatches 8 --virtual 2', 'zero-bubble/vpp_p4_m8_v2.csv'],
    ['--name zb2p --pp 8 --microbatches 16', 'zero-bubble/zb2p_p8_m16.csv'],
  ])('%s is %s', async (flags, file) => {
    expect(plain((await schedule(`${flags} --format csv`)).out)).toBe(plain(load(file)))
  })

  test('with --comms and --merge, what PyTorch lowers interleaved ZB1P to', async () => {
    const flags = '--name interleaved-zb1p --pp 2 --virtual 2 --microbatches 8 --comms --merge'
    expect(plain((await schedule(flags)).out)).toBe(plain(load('torch/zb1p_2rank_2stagep_comms.csv')))
  })

  test('every file can be read back with --file, whose figures are those of the name', async () => {
    const files = readdirSync(join(reference ?? '', 'reference/schedules/derived'))
    for (const file of ['vhalf_p4_m8.csv', 'zbv_p8_m16.csv', 'vmin_p8_m16.csv']) {
      const [, name, pp, microbatches] = /^(\w+)_p(\d+)_m(\d+)/.exec(file) ?? []
      const theirs = await document('--file -', { input: load(`zero-bubble/${file}`) })
      const ours = await document(`--name ${name} --pp ${pp} --microbatches ${microbatches}`)
      expect([theirs.makespan, Math.max(...theirs.peakInFlight.untilW)]).toEqual([
        ours.makespan,
        Math.max(...ours.peakInFlight.untilW),
      ])
    }
    expect(files.length).toBeGreaterThan(30)
  })
})

describe('the figures of', () => {
  // Idle per rank, (p − 1)(F + I + W) and (p − 1)(F + I − W): Qi et al. 2023, table 1. Peaks: p − r, and p until W.
  test.each([
    ['1f1b', 4, 8, [2, 3, 1], 3 * 6, [4, 3, 2, 1]],
    ['1f1b', 3, 7, [1, 1, 1], 2 * 3, [3, 2, 1]],
    ['zb-h1', 4, 8, [3, 4, 2], 3 * 5, [4, 4, 4, 4]],
    ['zb-h1', 3, 6, [1, 1, 1], 2 * 1, [3, 3, 3]],
  ] as const)('%s on %d ranks are the formulas', async (name, pp, microbatches, costs, idle, peaks) => {
    const flags = `--name ${name} --pp ${pp} --microbatches ${microbatches} --costs ${costs.join(',')}`
    const { schema, makespan, peakInFlight, stages, ...rest } = await document(flags)
    expect([schema, stages, rest.ranks, rest.microbatches]).toEqual(['shardloom.schedule/1', pp, pp, microbatches])
    expect(rest.idle.global).toEqual(peaks.map(() => idle))
    expect(makespan).toBe(microbatches * sum(costs) + idle)
    expect(peakInFlight.untilW).toEqual(peaks)
  })

  test('unlike schedules compare by a makespan in whole ranks: V-shaped stages are half as long', async () => {
    const stats = async (name: string) =>
      (await schedule(`--name ${name} --pp 8 --microbatches 16 --stats`)).out.replaceAll(/\s+/g, ' ')
    expect(await stats('zbv')).toMatch(/costs of one stage on one microbatch; a rank holds 2 of 16 comparable 51.5,/)
    expect(await stats('zbh1')).toMatch(/a rank holds 1 of 8 comparable 55,/)
    expect(await stats('dualpipe')).toContain('a rank holds 2 of 16, each for half of the microbatches')
  })

  test('DualPipe with an overlapped pair that costs less are the formula of DeepSeek', async () => {
    // (p/2 − 1)(F&B + B − 3W), F = I; the pair alone saves F + B − F&B for every pair that overlaps.
    const { idle, actions, makespan } = await document('--name dualpipe --pp 4 --microbatches 8')
    const less = await document('--name dualpipe --pp 4 --microbatches 8 --costs 2,2,1 --overlap-cost 4')
    expect(Math.min(...idle.global)).toBe(1 * (3 + 2 - 3))
    expect(Math.min(...less.idle.global)).toBe(1 * (4 + 3 - 3))
    const pairs = actions[0]?.filter((action) => action.endsWith('OVERLAP_F_B')).length ?? 0
    expect(pairs).toBeGreaterThan(0)
    expect(makespan - (idle.global[0] ?? 0)).toBe(8 * 3)
    expect(less.makespan - (less.idle.global[0] ?? 0)).toBe(8 * 5 - pairs * (5 - 4))
  })

  test('1F1B with slow links: each of the 2(p − 1) hops on the way down and back delays the step', async () => {
    const { makespan } = await document('--name 1f1b --pp 4 --microbatches 1 --send-cost 0.5')
    expect(makespan).toBe(4 * 3 + 2 * 3 * 0.5)
  })
})

describe('shardloom schedule', () => {
  test('draws within 80 columns, with the figures below', async () => {
    for (const flags of ['--name zb-h1 --pp 8 --microbatches 24', '--name dualpipe --pp 4 --microbatches 8']) {
      const { code, out } = await schedule(`${flags} --stats`)
      expect(code).toBe(0)
      expect(out.split('\n').filter((line) => [...line].length > 80)).toEqual([])
      expect(out).toMatch(/^ {2}makespan +\d+ \(costs: F 1, I 1, W 1\)$/m)
    }
  })

  test('leaves a CSV on standard output clean, and writes a file whole', async () => {
    const folder = temporaryFolder()
    const flags = '--name 1f1b --pp 2 --microbatches 2 --stats'
    const { out, err } = await schedule(`${flags} --format csv`)
    expect(out).toBe('0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n')
    expect(err).toMatch(/makespan +9/)
    const written = await schedule(`${flags} --format svg --out a.svg`, { cwd: folder })
    expect(written.out).toMatch(/makespan +9/)
    expect(readFileSync(join(folder, 'a.svg'), 'utf8')).toMatch(/^<svg .*<\/svg>\n$/s)
    expect(readdirSync(folder)).toEqual(['a.svg'])
  })

  test('--json holds the text, or says where it is', async () => {
    const folder = temporaryFolder()
    const flags = '--name 1f1b --pp 2 --microbatches 2 --format csv'
    const held = JSON.parse((await schedule(`${flags} --json`)).out)
    const told = JSON.parse((await schedule(`${flags} --json --out a.csv`, { cwd: folder })).out)
    expect(told).toMatchObject({ format: 'csv', out: 'a.csv', actions: held.actions })
    expect(readFileSync(join(folder, 'a.csv'), 'utf8')).toBe(held.text)
  })

  test('--comms adds to each rank what its computations need, and the rest stays as it was', async () => {
    const flags = '--name vpp --pp 3 --virtual 2 --microbatches 6'
    const without = await document(flags)
    const within = await document(`${flags} --comms`)
    const transfer = /SEND|RECV/
    expect(within.actions.map((row) => row.filter((action) => !transfer.test(action)))).toEqual(without.actions)
    // Five borders between six stages, each crossed by six microbatches in both directions, sent and received.
    expect(within.actions.flat().filter((action) => transfer.test(action))).toHaveLength(5 * 6 * 2 * 2)
  })

  test('reads a schedule of the user, and warns when its transfers hang', async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'mine.csv'), '0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n')
    expect(await document('--file mine.csv', { cwd: folder })).toMatchObject({ name: 'mine', makespan: 9 })
    const hanging =
      '0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B1,0B1,0RECV_B0,0B0\n1RECV_F1,1F1,1RECV_F0,1F0,1B0,1SEND_B0,1B1,1SEND_B1\n'
    const { code, out, err } = await schedule('--file - --comms', { input: hanging })
    expect([code, out]).toEqual([0, hanging])
    expect(err).toMatch(/^warning .* hang .*0SEND_F0/)
    expect(readSchedule((await schedule('--file - --format csv', { input: hanging })).out).microbatches).toBe(2)
  })

  test.each([
    ['', 2, 'USAGE', 'gpipe, 1f1b'],
    ['--name zb-h3 --pp 4 --microbatches 8', 1, 'UNKNOWN_SCHEDULE', 'Did you mean zbh1?'],
    ['--name zbh1 --pp 4', 2, 'USAGE', '--microbatches 8'],
    ['--name zbh1 --pp four --microbatches 8', 2, 'USAGE', '--help'],
    ['--name zbh1 --pp 4096 --microbatches 8', 1, 'BAD_SCHEDULE_SIZE', '1024'],
    ['--name 1f1b --pp 64 --microbatches 10000', 1, 'BAD_SCHEDULE_SIZE', '8,192 microbatches'],
    ['--name dualpipe --pp 4 --microbatches 7', 1, 'BAD_SCHEDULE_SIZE', 'Use 8'],
    ['--name dualpipev --pp 4 --microbatches 6', 1, 'BAD_SCHEDULE_SIZE', 'Use 8'],
    ['--name vpp --pp 4 --microbatches 8 --group 3', 1, 'BAD_SCHEDULE_SIZE', 'group of 4, 8'],
    ['--name 1f1b --pp 4 --microbatches 8 --virtual 2', 1, 'BAD_SCHEDULE_SIZE', 'interleaved1f1b'],
    ['--name 1f1b --pp 4 --microbatches 8 --costs 1,2', 2, 'USAGE', ''],
    ['--name 1f1b --pp 4 --microbatches 8 --comms --format svg', 2, 'USAGE', '--format csv'],
    ['--name 1f1b --file -', 2, 'USAGE', 'Leave one'],
    ['--file folder', 1, 'FILE_FOLDER', ''],
    ['--file missing.csv', 1, 'FILE_MISSING', ''],
    ['--file -', 1, 'DEADLOCK', 'Move the action'],
  ])('refuses %j: %d %s', async (flags, exit, name, help) => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'folder'))
    const { code, out, err } = await schedule(flags, { cwd: folder, input: '0F0,0B0,0F1,0B1\n1F1,1F0,1B0,1B1\n' })
    expect([code, out]).toEqual([exit, ''])
    expect(err).toMatch(new RegExp(`^error\\[${name}\\] [^\n]+\n(help: [^\n]+\n)?$`))
    expect(err).toContain(help)
  })
})
