import { mostVariants } from '../state/studio-state.js'
import { useStudio } from './studio.js'

/** The plans of this page by name: the one that is shown can be renamed, pinned beside a copy, and put away. */
export function Variants() {
  const { state, dispatch, variant } = useStudio()
  const { variants, active } = state
  const change = (next: typeof variants, at: number) => dispatch({ type: 'variants', variants: next, active: at })
  return (
    <div className="variants">
      {variants.length > 1 && (
        <select aria-label="Variant" value={active} onChange={({ target }) => change(variants, Number(target.value))}>
          {variants.map(({ name }, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: names may be alike
            <option key={at} value={at}>
              {name || 'unnamed'}
            </option>
          ))}
        </select>
      )}
      <input
        className="name"
        aria-label="Name of the plan"
        value={variant.name}
        maxLength={80}
        onChange={({ target }) =>
          change(
            variants.map((each, at) => (at === active ? { ...each, name: target.value } : each)),
            active,
          )
        }
      />
      <button
        type="button"
        className="quiet"
        title="Pin this plan and go on with a copy"
        disabled={variants.length >= mostVariants}
        onClick={() =>
          change(
            [...variants, { ...variant, name: `${variant.name.slice(0, 70)} ${variants.length + 1}` }],
            variants.length,
          )
        }
      >
        + Variant
      </button>
      {variants.length > 1 && (
        <button
          type="button"
          className="quiet"
          aria-label={`Remove ${variant.name}`}
          title="Remove this variant"
          onClick={() =>
            change(
              variants.filter((_, at) => at !== active),
              Math.max(0, active - 1),
            )
          }
        >
          ✕
        </button>
      )}
    </div>
  )
}
