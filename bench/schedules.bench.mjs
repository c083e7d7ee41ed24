/** Pipeline schedules: made and timed, 64 ranks and 512 microbatches, costs never used before in the process. */
import { checkTransfers, makeSchedule, scheduleNames, sendsAndReceives, timeSchedule } from '@shardloom/schedules'

/** Median milliseconds of seven runs after two unmeasured ones. */
function median(run) {
  const times = Array.from({ length: 9 }, (_, i) => {
    const start = performance.now()
    run(i)
    return performance.now() - start
  })
  return times.slice(2).sort((a, b) => a - b)[3]
}

export default function bench() {
  const size = (name, ranks, microbatches) => ({
    ranks,
    microbatches,
    ...(/interleaved|bfs/.test(name) ? { virtual: 4 } : {}),
  })
  const costs = (i) => ({ F: 1 + i / 100, I: 1, W: 0.9 })
  const lines = scheduleNames().map((name) => {
    const options = size(name, 64, 512)
    const schedule = makeSchedule(name, options)
    const actions = schedule.orders.reduce((sum, order) => sum + order.length, 0)
    const making = median(() => makeSchedule(name, options))
    const timing = median((i) => timeSchedule(schedule, costs(i)))
    return `${name}, ${options.virtual ?? schedule.virtual} chunks, ${actions} actions: made in ${making.toFixed(1)} ms, timed in ${timing.toFixed(1)} ms (aim: under 100 together)`
  })
  const schedule = makeSchedule('interleaved1f1b', size('interleaved1f1b', 16, 128))
  const lists = sendsAndReceives(schedule)
  const listing = median(() => sendsAndReceives(schedule))
  const checking = median(() => checkTransfers(lists, 'in-order'))
  return [
    ...lines,
    `16 ranks, 128 microbatches, 4 chunks: sends and receives listed in ${listing.toFixed(1)} ms, checked in ${checking.toFixed(1)} ms`,
  ]
}
