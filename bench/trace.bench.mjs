/** Chrome traces: a million events and more, written as they are made. */
import { chromeTrace } from '@shardloom/exporters/chrome-trace'
import { loadSpec, simulateLoaded } from 'shardloom'

export default async function bench() {
  const { timed, timeline, memory } = simulateLoaded(
    await loadSpec({ preset: 'megatron', batch: 512, cluster: 'dgx-a100' }),
  )
  const { program } = timed
  const options = { memory }
  // What a stream would do with each part: encode it.
  const write = (look = () => {}) => {
    let bytes = 0
    const start = performance.now()
    for (const chunk of chromeTrace(timeline, program, options)) {
      bytes += Buffer.from(chunk).length
      look(chunk)
    }
    return { bytes, seconds: (performance.now() - start) / 1000 }
  }
  const before = process.memoryUsage().heapUsed
  let [events, most] = [0, 0]
  write((chunk) => {
    events += chunk.split('\n').length - 1
    most = Math.max(most, process.memoryUsage().heapUsed - before)
  })
  const runs = [write(), write(), write()].sort((a, b) => a.seconds - b.seconds)
  const { bytes, seconds } = runs[1]
  const perMillion = (1e6 * seconds) / events
  return [
    `${events} events: ${(bytes / 1e6).toFixed(0)} MB in ${seconds.toFixed(2)} s, ${perMillion.toFixed(2)} s for a million (aim: under 3)`,
    `the heap grows by ${(most / 1e6).toFixed(0)} MB at most, garbage included`,
  ]
}
