const context = 2
const limit = 40
/** Above this many pairs of lines, everything between the first and the last difference counts as changed. */
const pairs = 4_000_000

/**
 * A unified diff of two texts by lines, at most 40 of them: `-` marks what only `expected` has, `+` what only `actual` has.
 * Empty when they are equal. O(lines²) between the first and the last difference.
 */
export function textDifference(expected: string, actual: string): string {
  if (expected === actual) return ''
  const [before, after] = [expected.split('\n'), actual.split('\n')]
  let start = 0
  while (start < before.length && start < after.length && before[start] === after[start]) start++
  let end = 0
  const most = Math.min(before.length, after.length) - start
  while (end < most && before.at(-1 - end) === after.at(-1 - end)) end++
  const changed = changes(before.slice(start, before.length - end), after.slice(start, after.length - end))
  const lines = [
    ...before.slice(0, start).map((line) => `  ${line}`),
    ...changed,
    ...before.slice(before.length - end).map((line) => `  ${line}`),
  ]
  const near = (index: number) =>
    lines.slice(Math.max(0, index - context), index + context + 1).some((line) => !line.startsWith('  '))
  const shown: string[] = []
  lines.forEach((line, index) => {
    if (near(index)) shown.push(line)
    else if (shown.at(-1) !== '…') shown.push('…')
  })
  const rest = shown.length - limit
  return [...shown.slice(0, limit), ...(rest > 0 ? [`… and ${rest} more lines`] : [])].join('\n')
}

/** The lines of both texts, those of a longest common subsequence once. */
function changes(before: readonly string[], after: readonly string[]): string[] {
  const removed = before.map((line) => `- ${line}`)
  const added = after.map((line) => `+ ${line}`)
  if (before.length * after.length > pairs) return [...removed, ...added]
  const width = after.length + 1
  const longest = new Uint32Array((before.length + 1) * width)
  const at = (i: number, j: number) => longest[i * width + j] ?? 0
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--)
      longest[i * width + j] = before[i] === after[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
  }
  const lines: string[] = []
  let [i, j] = [0, 0]
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      lines.push(`  ${before[i++]}`)
      j++
    } else if (i < before.length && (j >= after.length || at(i + 1, j) >= at(i, j + 1))) lines.push(removed[i++] ?? '')
    else lines.push(added[j++] ?? '')
  }
  return lines
}

/** Where two values first differ, with both, or undefined when they are equal, whatever the order of their fields. */
export function firstDifference(before: unknown, after: unknown, path = ''): string | undefined {
  if (Object.is(before, after)) return undefined
  const isNode = (value: unknown): value is object => typeof value === 'object' && value !== null
  if (!isNode(before) || !isNode(after) || Array.isArray(before) !== Array.isArray(after))
    return `\`${path || 'the whole'}\` was ${shown(before)} and is ${shown(after)}`
  const [left, right] = [new Map(Object.entries(before)), new Map(Object.entries(after))]
  for (const key of new Set([...left.keys(), ...right.keys()])) {
    const inner = Array.isArray(before) ? `${path}[${key}]` : `${path}${path && '.'}${key}`
    if (!left.has(key)) return `\`${inner}\` was not there and is ${shown(right.get(key))}`
    if (!right.has(key)) return `\`${inner}\` was ${shown(left.get(key))} and is not there`
    const found = firstDifference(left.get(key), right.get(key), inner)
    if (found) return found
  }
  return undefined
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
