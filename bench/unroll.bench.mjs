/** Unrolling: the full graph of one rank in typed arrays. */
import { unroll } from '@shardloom/core/unroll'
import { planned } from './plan.bench.mjs'

export default function bench() {
  const { program } = planned(
    'llama-3.1-405b',
    { phase: 'training', batch: 2, microbatches: 32, seq: 8192 },
    { dp: 2, tp: 8 },
  )
  unroll(program)
  const start = performance.now()
  let nodes = 0
  let edges = 0
  let last
  const rounds = 5
  for (let i = 0; i < rounds; i++) {
    last = unroll(program)
    nodes += last.nodeCount
    edges += last.edgeCount
  }
  const seconds = (performance.now() - start) / 1000
  const { template, edgeStart, edgeSource, edgeKind, nodeCount } = last
  const bytes = [template, edgeStart, edgeSource, edgeKind].reduce((sum, array) => sum + array.buffer.byteLength, 0)
  return [
    `Llama-3.1-405B training, 32 microbatches, one rank: ${last.nodeCount} nodes, ${last.edgeCount} edges`,
    `${(nodes / seconds / 1e6).toFixed(2)} million nodes and ${(edges / seconds / 1e6).toFixed(2)} million edges per second (aim: 1 and 2)`,
    `${(bytes / nodeCount).toFixed(1)} bytes per node with its edges (aim: under 200)`,
  ]
}
