import type { Leaf, Node, StepTree } from '../../src/search/step-tree.js'

/** A sequence of numbers from 0 to 1 that is the same every time. */
export function draws(seed: number) {
  let at = seed
  return () => {
    at = (at * 1_103_515_245 + 12_345) % 2_147_483_648
    return at / 2_147_483_648
  }
}

/** Leaves that can be planned, each found by going down at random, so that rare choices are as likely as those with many leaves below. */
export function* randomLeaves(tree: StepTree, draw: () => number): Generator<Leaf> {
  for (let tries = 0; tries < 3000; tries++) {
    let node: Node = { level: 'root', groups: tree.groups() }
    while (node.level !== 'leaf') {
      const children: Node[] = [...(tree.expand(node) ?? [])]
      const child: Node | undefined = children[Math.floor(draw() * children.length)]
      if (!child) break
      const rejection = tree.reject(child)
      if (rejection && rejection.rule !== 'memory') break
      node = child
    }
    if (node.level === 'leaf') yield node
  }
}

/** The mean, the median and the worst of errors, whatever their signs. */
export const sizes = (errors: readonly number[]) => {
  const sorted = errors.map(Math.abs).sort((a, b) => a - b)
  const mean = sorted.reduce((sum, each) => sum + each, 0) / sorted.length
  return { mean, median: sorted[sorted.length >> 1] ?? Number.NaN, worst: sorted.at(-1) ?? Number.NaN }
}
