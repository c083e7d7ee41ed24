import { drawText, makeSchedule, readSchedule, timeSchedule } from '@shardloom/schedules'
import { describe, expect, test } from 'vitest'
import { everySchedule } from './every.js'

const timed = (name: string, ranks: number, microbatches: number) =>
  timeSchedule(makeSchedule(name, { ranks, microbatches }))

describe('text', () => {
  test('labels where they fit', () => {
    expect(drawText(timed('1f1b', 4, 8))).toBe(`1f1b: 4 ranks, 8 microbatches, makespan 33, idle 27.3 %
rank 0  F0F1F2F3............B0- F4B1- F5B2- F6B3- F7B4- ..B5- ..B6- ..B7-   27 %
rank 1  ..F0F1F2........B0- F3B1- F4B2- F5B3- F6B4- F7B5- ..B6- ..B7- ....  27 %
rank 2  ....F0F1....B0- F2B1- F3B2- F4B3- F5B4- F6B5- F7B6- ..B7- ........  27 %
rank 3  ......F0B0- F1B1- F2B2- F3B3- F4B4- F5B5- F6B6- F7B7- ............  27 %
F forward, B full backward, . idle
`)
  })

  test('letters where labels do not', () => {
    expect(drawText(timed('dualpipe', 4, 12))).toBe(`dualpipe: 4 ranks, 12 microbatches, makespan 38, idle 5.3 %
rank 0  FFFFIWFXXX.XXXXXXXXXXXXXXXBB.XXXBBIWIW  5 %
rank 1  .FFFFFBBXXXXXXXXXXXXXXXXXXXXXBBBB.IIWW  5 %
rank 2  .FFFFFBBXXXXXXXXXXXXXXXXXXXXXBBBB.IIWW  5 %
rank 3  FFFFIWFXXX.XXXXXXXXXXXXXXXBB.XXXBBIWIW  5 %
F forward, I input gradient, W weight gradient, B full backward
X or & overlapped pair, . idle, a column is 1
`)
  })

  test('what does not fit goes on in further blocks, in which every action has its columns', () => {
    const text = drawText(timed('1f1b', 4, 30))
    expect(text).toContain('\nfrom 0 to 67\n')
    expect(text).toContain('\nfrom 67 to 99\n')
    const row = (rank: number) =>
      text
        .split('\n')
        .filter((line) => line.startsWith(`rank ${rank} `))
        .map((line) => line.slice(8).replace(/ .*/, ''))
        .join('')
    // The last rank alternates, the first warms up with p forwards: PipeDream's 1F1B.
    expect(row(3)).toBe(`${'.'.repeat(3)}${'FBB'.repeat(30)}${'.'.repeat(6)}`)
    expect(row(0)).toBe(`FFFF${'.'.repeat(6)}${'BBF'.repeat(26)}BB${'.BB'.repeat(3)}`)
  })

  test('of what is longer still, the ends', () => {
    const text = drawText(timed('1f1b', 2, 1000))
    const [rows, omitted] = [text.match(/^rank 1 .*/gm) ?? [], /^… from (\d+) to (\d+) left out$/m.exec(text)]
    expect(rows).toHaveLength(6)
    const drawn = rows.map((row) => row.slice(8).replace(/ .*/, '')).join('').length
    expect(drawn + Number(omitted?.[2]) - Number(omitted?.[1])).toBe(3 * 1001)
  })

  test('what costs nothing takes no column', () => {
    const text = drawText(timeSchedule(makeSchedule('zbh1', { ranks: 2, microbatches: 3 }), { W: 0 }))
    expect(text.match(/^rank.*/gm)?.join('')).not.toContain('W')
  })

  test('at most 80 columns, or as many as asked for', () => {
    for (const schedule of [...everySchedule(4, 8), ...everySchedule(8, 64)]) {
      for (const width of [40, 80, 200]) {
        const rows = drawText(timeSchedule(schedule), { width }).split('\n').slice(1)
        const blocks = Math.max(1, rows.filter((row) => row.startsWith('from ')).length)
        expect(rows.filter((row) => row.startsWith('rank '))).toHaveLength(blocks * schedule.ranks)
        expect(Math.max(...rows.map((row) => row.length))).toBeLessThanOrEqual(width)
      }
    }
  })

  test('costs of nothing, and names that would change the line', () => {
    const schedule = readSchedule('0F0,0B0', { name: 'a\n\u001b[31mb' })
    expect(drawText(timeSchedule(schedule, { F: 0, I: 0, W: 0 }))).toContain(
      'a [31mb: 1 rank, 1 microbatch, makespan 0',
    )
  })
})
