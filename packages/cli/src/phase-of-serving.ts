import { isFields } from './fields.js'

/** What a spec of serving says of one of its phases, as a spec of that phase, and what became of the rest. */
interface PhaseOfServing {
  readonly spec: unknown
  readonly warnings: readonly string[]
}

/**
 * Reads an unchecked spec of serving as that of one of its phases, such as a flag asks for: what `options.serving` has for this phase takes the
 * place of the spec's own fields, and decode begins behind the prompts, as where serving is planned. What is of engines and requests is left out. Any
 * other spec stays as it is.
 */
export function phaseOfServing(input: unknown, phase: unknown): PhaseOfServing {
  const asIs = { spec: input, warnings: [] }
  if ((phase !== 'prefill' && phase !== 'decode') || !isFields(input) || input['phase'] !== 'serving') return asIs
  const { options: given = {}, parallel, steps, ...rest } = input
  if (!isFields(given)) return asIs
  const { serving = {}, prefill, decode, ...options } = given
  if (!isFields(serving)) return asIs
  const { prefill: one = {}, decode: other = {}, ...others } = serving
  const pool = phase === 'prefill' ? one : other
  if (!isFields(pool)) return asIs
  const { options: own, ...fields } = pool
  const phased = { prefill, decode }[phase]
  const { seq } = rest
  const isBehind = phase === 'decode' && typeof seq === 'number'
  const spec = {
    ...rest,
    ...(parallel !== undefined && { parallel: phase === 'prefill' ? withoutCacheSplit(parallel) : parallel }),
    ...(phase === 'decode' && steps !== undefined && { steps }),
    ...(isBehind && { seq: seq + 1 }),
    ...fields,
    options: { ...options, ...(phased !== undefined && { [phase]: phased }), ...(isFields(own) && own) },
  }
  const held = Object.keys(pool).length > 0 ? [`what \`options.serving.${phase}\` says holds`] : []
  const out = Object.keys(others).map((name) => `\`options.serving.${name}\``)
  const left = out.length > 0 ? [`${out.join(', ')} ${out.length === 1 ? 'is' : 'are'} left out`] : []
  const behind = isBehind ? [`its first step reads ${seq + 1} positions, the prompt and the new token`] : []
  const said = [...held, ...left, ...behind].join('; ')
  // Where nothing of it is of serving, there is nothing to say.
  return { spec, warnings: said === '' ? [] : [`a spec of serving is read as its phase ${phase}: ${said}`] }
}

/** What decode splits by position is written whole. */
function withoutCacheSplit(parallel: unknown): unknown {
  if (!isFields(parallel)) return parallel
  const { dcp: _, ...rest } = parallel
  return rest
}
