import { ShardloomError } from './error.js'

/**
 * A parsed operator rule such as `batch seq hidden, hidden ffn -> batch seq ffn`: lists of dims per operand and result.
 * Names are local to the operator; they bind to tensors by position.
 */
export interface Rule {
  readonly text: string
  readonly operands: readonly (readonly string[])[]
  readonly results: readonly (readonly string[])[]
  /** Every dim once, in order of first appearance: the operator's iteration space. */
  readonly space: readonly string[]
  /** The dims marked `!`: this operator cannot be split there. */
  readonly whole: ReadonlySet<string>
}

const parsed = new Map<string, Rule>()
const dimName = /^[A-Za-z_][A-Za-z0-9_]*$/
const cacheLimit = 10_000

/**
 * Parses a rule. Grammar: `rule := operands "->" results`; operands and results are lists of operands separated by
 * commas, each a list of dims separated by spaces, or `.` for a scalar; `dim := name ["!"]`. An empty operand list
 * (nothing before the arrow) is a source, an arrow alone a node without tensors. Throws `RULE_SYNTAX`.
 */
export function parseRule(text: string): Rule {
  const known = parsed.get(text)
  if (known) return known
  const sides = text.split('->')
  if (sides.length !== 2) throw ruleError(text, `it needs exactly one \`->\``)
  const whole = new Set<string>()
  const side = (part: string): string[][] => {
    if (part.trim() === '') return []
    return part.split(',').map((operand) => {
      const words = operand.trim().split(/\s+/)
      if (words.length === 1 && words[0] === '.') return []
      const names = words.map((word) => {
        const name = word.endsWith('!') ? word.slice(0, -1) : word
        if (!dimName.test(name) || name in Object.prototype)
          throw ruleError(text, `\`${word}\` is not a dim (a name, or a name with \`!\`)`)
        if (word !== name) whole.add(name)
        return name
      })
      if (new Set(names).size < names.length) throw ruleError(text, `\`${operand.trim()}\` names one dim twice`)
      return names
    })
  }
  const operands = side(sides[0] ?? '')
  const results = side(sides[1] ?? '')
  if (results.length === 0 && operands.length > 0) throw ruleError(text, 'it has no result')
  const rule: Rule = { text, operands, results, space: [...new Set([...operands, ...results].flat())], whole }
  if (parsed.size >= cacheLimit) parsed.clear()
  parsed.set(text, rule)
  return rule
}

function ruleError(text: string, why: string): ShardloomError {
  return new ShardloomError('RULE_SYNTAX', `Cannot read the rule \`${text}\`: ${why}.`, {
    subject: text,
    help: 'Write it like `batch seq hidden, hidden ffn -> batch seq ffn`, with `.` for a scalar.',
  })
}

/** Writes dims as one side's operand of a rule (`.` for a scalar). */
export function operandText(dims: readonly string[]): string {
  return dims.length ? dims.join(' ') : '.'
}
