/** DOT text: the full graph of one rank, streamed. */
import { unroll } from '@shardloom/core/unroll'
import { writeDotGraph } from '@shardloom/exporters/dot'
import { planned } from './plan.bench.mjs'

export default function bench() {
  const { program } = planned(
    'llama-3.1-405b',
    { phase: 'training', batch: 2, microbatches: 8, seq: 8192 },
    { dp: 2, tp: 8 },
  )
  const graph = unroll(program)
  const ids = Array.from({ length: graph.nodeCount }, (_, node) => graph.idOf(node))
  const nodes = ids.map((id, node) => ({ id, label: id, kind: graph.templates[graph.template[node]].kind }))
  const edges = []
  for (let node = 0; node < graph.nodeCount; node++) {
    for (let edge = graph.edgeStart[node]; edge < graph.edgeStart[node + 1]; edge++) {
      edges.push({ from: ids[graph.edgeSource[edge]], to: ids[node], kind: 'data' })
    }
  }
  const write = () => {
    let bytes = 0
    const start = performance.now()
    writeDotGraph({ name: 'rank 0', nodes, edges }, (chunk) => {
      bytes += chunk.length
    })
    return { bytes, seconds: (performance.now() - start) / 1000 }
  }
  write()
  const runs = [write(), write(), write()].sort((a, b) => a.seconds - b.seconds)
  const { bytes, seconds } = runs[1]
  return [
    `${graph.nodeCount} nodes, ${graph.edgeCount} edges: ${(bytes / 1e6).toFixed(1)} MB in ${(seconds * 1000).toFixed(0)} ms, ${(bytes / 1e6 / seconds).toFixed(0)} MB/s (aim: at least 50)`,
  ]
}
