import { type Plugin, type Preference, withPreferences } from '@shardloom/core'

/** A wish without the names that the plugin gives it. */
export type Wish = Omit<Preference, 'strategy' | 'axis' | 'atoms'> & { readonly axis?: string }

/** A strategy from outside: its own axis (or one that another plugin has) splits what its wishes name. */
export function splitting(name: string, ...wishes: readonly Wish[]): Plugin {
  const own = wishes.some(({ axis = name }) => axis === name)
  return {
    name,
    ...(own && { axes: [{ name, description: 'of a test' }] }),
    passes: [
      {
        name: `${name}/split`,
        phase: 'partition',
        run: (program) =>
          withPreferences(
            program,
            wishes
              .filter(({ axis = name }) => program.mesh.axes.some((each) => each.name === axis && each.degree > 1))
              .map((wish) => ({ strategy: name, axis: name, ...wish })),
          ),
      },
    ],
  }
}

/** Beside the plugins that a plan has anyway. */
export function and(...more: readonly Plugin[]): { plugins: (list: readonly Plugin[]) => readonly Plugin[] } {
  return { plugins: (list) => [...list, ...more] }
}

/** Splits the batch a second time, inside or outside of `dp`. */
export const again = splitting('again', { class: 'token', dims: ['batch'] })

/** Sequence parallelism as Megatron-LM has it: on the residual stream, which `tp` leaves whole, it splits the sequence. */
export const sequence = splitting('sequence', {
  axis: 'tp',
  class: 'token',
  dims: ['seq'],
  where: { name: ['tokens', 'positions', 'sum', 'norm', 'post_norm', 'residual'] },
})

/** Context parallelism: every operator with a sequence splits it, so that keys and values are gathered. */
export const context = splitting('cp', { class: 'token', dims: ['seq'] })

/** DeepSpeed-Ulysses: heads inside attention, the sequence elsewhere. */
export const ulysses = splitting(
  'ulysses',
  { class: 'feature', dims: ['kv_heads', 'group'], where: { operator: ['softmax', 'softmax_gradient'] } },
  { class: 'feature', dims: ['kv_heads', 'group'], where: { name: ['score', 'context'] } },
  { class: 'token', dims: ['seq'] },
)
