import type { Figures } from './step-metrics.js'
import type { Node } from './step-nodes.js'

/** The least of what is staged, of which only what is asked for is found out. */
export class Least implements Figures {
  constructor(
    private readonly node: Extract<Node, { level: 'staged' | 'cut' | 'divided' | 'zero' | 'stored' | 'apart' }>,
  ) {}

  get seconds(): number {
    const { node } = this
    if (node.level === 'staged') return node.staging.leastWork()
    if (node.level === 'cut') return node.staging.leastOfCut(node.cut)
    if (node.level === 'divided') return node.staging.leastDivided(node.cut)
    return node.staging.leastSeconds(node.cut, 'stored' in node ? node.stored : undefined, node.level !== 'apart')
  }

  get bytes(): number {
    const { node } = this
    if (node.level === 'staged') return 0
    if (node.level === 'cut' || node.level === 'divided') return node.staging.leastBytes(node.cut, undefined, true)
    return node.staging.leastBytes(node.cut, 'stored' in node ? node.stored : node.sharing[0], node.level !== 'apart')
  }
}
