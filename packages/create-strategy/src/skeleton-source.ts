import { dimClasses, type KnownDim, type Names } from './names.js'

/** `src/index.ts` of a skeleton: the plugin. */
export function indexSource({ factory, axis, dim, pass, passFactory }: Names): string {
  const options = `${factory.charAt(0).toUpperCase()}${factory.slice(1)}Options`
  return `import type { Plugin, Selector } from '@shardloom/core'
import { ${passFactory} } from './${pass}.js'

/** Options of {@link ${factory}}. */
export interface ${options} {
  /** The operators that it applies to; default all. */
  readonly where?: Selector
}

/** The axis \`${axis}\` splits the dim \`${dim}\`. */
export default function ${factory}(options: ${options} = {}): Plugin {
  return {
    name: '${axis}',
    axes: [{ name: '${axis}', description: 'splits ${dim}' }],
    options: { type: 'object', properties: { where: { type: 'object' } }, additionalProperties: false },
    passes: [${passFactory}(options.where)],
  }
}
`
}

/** The pass of a skeleton. */
export function passSource({ axis, dim, pass, passFactory }: Names): string {
  const known = dim as KnownDim // namesOf refuses all others
  return `import { findAxis, type Pass, type Selector, withPreferences } from '@shardloom/core'

/** \`${axis}/${pass}\`: every operator that has the dim \`${dim}\` splits it over \`${axis}\`. */
export function ${passFactory}(where?: Selector): Pass {
  return {
    name: '${axis}/${pass}',
    phase: 'partition',
    run(program) {
      // No axis in this plan, or one of degree 1: nothing to do, so the same object goes back.
      if (!findAxis(program.mesh, '${axis}')?.atoms.length) return program
      return withPreferences(program, [
        { strategy: '${axis}', axis: '${axis}', class: '${dimClasses[known]}', dims: ['${dim}'], ...(where && { where }) },
      ])
    },
  }
}
`
}
