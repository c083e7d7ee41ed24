import type { Planned } from '../worker/protocol.js'

interface FigureProps {
  readonly name: string
  /** What it is, where the name alone does not say so. */
  readonly title?: string | undefined
  /** An ellipsis until it is known. */
  readonly value: string | undefined
  readonly note?: string | undefined
  readonly bad?: boolean
}

/** A figure of the strip under its name. */
export function Figure({ name, title, value = '…', note = '', bad = false }: FigureProps) {
  return (
    <div className={bad ? 'figure bad' : 'figure'}>
      <dt title={title}>{name}</dt>
      <dd>
        {value} {note && <span className="note">{note}</span>}
      </dd>
    </div>
  )
}

/** Whether the plan keeps the rules that every plan has to keep. */
export function RulesFigure({ plan }: { readonly plan: Planned | undefined }) {
  return (
    <Figure
      name="Rules"
      value={plan && (plan.ok ? `✓ all ${plan.rules} hold` : `✗ ${plan.violations.length} violations`)}
      note={plan?.violations[0]?.message}
      bad={plan ? !plan.ok : false}
    />
  )
}
