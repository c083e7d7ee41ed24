import type { Layer, ModelArchitecture } from '@shardloom/models'
import { depthOf, hasExperts, type ReadFacts } from './launcher.js'
import type { SettingsReader } from './settings-reader.js'

/** Attention by `scaled_dot_product_attention`, whose result is in torchtitan's list of what is saved. */
const attentionCore = ['score', 'softmax', 'context']

/** Degrees that are planned: of the job, or of what stands over it. */
interface Degrees {
  readonly tp: number
  readonly pp: number
}

/**
 * What backward computes again, by the section `activation_checkpoint`: nothing, layers, every n-th layer, or all but what the
 * policy for each operator saves (`torchtitan/distributed/activation_checkpoint.py`). What that policy and a spec see otherwise is noted.
 */
export function readRecompute(
  settings: SettingsReader,
  { architecture, over }: ReadFacts,
  degrees: Degrees,
): string | object | undefined {
  const said = settings.text('activation_checkpoint.mode')
  const saidOption = settings.text('activation_checkpoint.selective_ac_option')
  settings.take('activation_checkpoint.per_op_sac_force_recompute_mm_shapes_by_fqns')
  if (over('options.recompute') !== undefined || said === 'none') return undefined
  if (said === 'full') return 'full'
  if (said !== undefined && said !== 'selective')
    settings.refuse(
      'activation_checkpoint.mode',
      `what \`mode = "${said}"\` keeps has no field here`,
      'Use full, selective or none; or say with `options.recompute` (`--recompute`) what runs again.',
    )
  const option = saidOption ?? '2'
  if (option !== 'op' && !/^\d+$/.test(option))
    settings.refuse(
      'activation_checkpoint.selective_ac_option',
      `\`selective_ac_option = "${option}"\` is neither op nor a number of layers`,
      'Use op, or a number such as 2.',
    )
  if (!architecture)
    return settings.refuse(
      'activation_checkpoint.mode',
      'what selective checkpointing keeps depends on the model, and none is known',
      'Give `--model`, or `--recompute`.',
    )
  if (option === 'op') return byOperator(settings, architecture, degrees)
  const every = Math.max(1, Number(option))
  const usual = saidOption === undefined ? 'the file does not say how much is checkpointed, and by default ' : ''
  settings.note(`${usual}torchtitan computes ${every === 1 ? 'each layer' : `one of ${every} layers`} again`)
  return byLayer(settings, every, architecture, degrees)
}

/** Layers are counted from 1, and on each rank of a pipeline anew. */
function byLayer(settings: SettingsReader, every: number, architecture: ModelArchitecture, { pp }: Degrees) {
  if (every === 1) return 'full'
  const depth = depthOf(architecture)
  if (pp > 1 && depth % (pp * every) !== 0)
    settings.note('torchtitan counts them on each rank of pp by itself; here they are counted through the model')
  const layers = Array.from({ length: Math.floor(depth / every) }, (_, index) => (index + 1) * every - 1)
  return layers.length > 0 ? { full: { layers } } : undefined
}

function byOperator(settings: SettingsReader, architecture: ModelArchitecture, { tp }: Degrees): object {
  const [layer] = Object.values(architecture.layers)
  const experts = hasExperts(architecture)
  const products = [...(layer ? productsOf(layer.attention) : []), ['gate'], ['up'], ['down']]
  const saved = products.filter((_, index) => index % 2 === 0).flat()
  // A reduce-scatter is saved as well: what it is of need not run again.
  const scattered = tp > 1 ? ['out', 'down'] : []
  const all = [...new Set([...saved, ...scattered, ...attentionCore])]
  const names = experts ? all.filter((name) => !['gate', 'up', 'down'].includes(name)) : all
  settings.note(
    `\`selective_ac_option = "op"\` is approximated by \`options.recompute\`: saved are ${names.join(', ')}, as torchtitan saves attention, reduce-scatters and every second matrix product of a layer; what it saves and backward does not read is not counted${experts ? ', and no product of experts and of feed-forward networks is' : ''}`,
  )
  return { full: { except: { name: names } }, border: 'again' }
}

/** The matrix products of attention in the order of torchtitan's models, each by the operators that it is here. */
function productsOf(attention: Layer['attention']): string[][] {
  if (attention.kind !== 'latent') return [['q'], ['k'], ['v'], ['out']]
  const query = attention.queryRank === undefined ? [['q']] : [['q_down'], ['q']]
  return [...query, ['kv_down', 'k_rope'], ['k_up', 'v_up'], ['out']]
}
