import { dimSizesOf, findAxis, type Pass } from '@shardloom/core'

/** How the ranks of `cp` share the positions of a sequence. */
export type PositionOrder = 'zigzag' | 'contiguous'

/**
 * `sp/order-positions`: over `cp` positions are shared in zigzag, so that causal attention costs every rank the same. It
 * holds for the whole program: tokens are laid out so when they are loaded, and nothing is ever moved for it.
 */
export function orderPositions(asked: PositionOrder | undefined): Pass {
  const order = asked ?? 'zigzag'
  return {
    name: 'sp/order-positions',
    phase: 'partition',
    run(program, { warn }) {
      const { layouts = [], mesh } = program
      const splits = findAxis(mesh, 'cp')?.atoms.length && Math.max(...dimSizesOf(program, 'seq')) > 1
      if (!splits && asked) warn(`\`positions: ${asked}\` has nothing to do: no ranks of \`cp\` share positions.`)
      if (!splits || order !== 'zigzag' || layouts.some(({ axis }) => axis === 'cp')) return program
      return { ...program, layouts: [...layouts, { axis: 'cp', dims: ['seq', 'kv_seq'], order }] }
    },
  }
}
