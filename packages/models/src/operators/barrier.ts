import { axesOf, type OperatorDefinition, orList } from '@shardloom/core'

/** All ranks along the atoms of the node's `barrier` wait for each other; its attribute `reason` says why. */
export const barrier: OperatorDefinition = {
  name: 'barrier',
  kind: 'control',
  execute: () => [],
  describes: ({ barrier = [], attributes }, { mesh }) => {
    const over =
      mesh.atoms.length > barrier.length
        ? `ranks along ${orList(axesOf(mesh, barrier)).replace(' or ', ' and ')}`
        : 'ranks'
    const reason = attributes?.['reason']
    return `All ${over} wait for each other here${typeof reason === 'string' ? `: ${reason}` : ''}.`
  },
}
