/** Takes the next piece of a text; pieces come in order and are never empty. */
export type Write = (chunk: string) => void

const chunkLength = 1 << 16
const special = /["\\&<>\p{Cc}\u2028-\u202e\u2066-\u2069]/u
const specials = /["\\&<>\p{Cc}\u2028-\u202e\u2066-\u2069]/gu
const idSpecial = /["\\&<>%\p{Cc}\u2028\u2029]/u
const idSpecials = /["\\&<>%\p{Cc}\u2028\u2029]/gu
const reserved = /^(?:node|edge|graph|digraph|subgraph|strict)$/i

/**
 * Quotes a text that a reader sees (label, tooltip). Characters that DOT, its escapes or its HTML labels give a meaning
 * become entities, which Graphviz turns back; line breaks, control characters and those that turn the direction of
 * text become spaces. The result has no
 * backslash and no inner quote, so that parsers which mishandle those read it as well.
 */
export function dotText(text: string): string {
  return `"${special.test(text) ? text.replace(specials, textEntity) : text}"`
}

/** Lines of text as one quoted label; `align` is the DOT escape that ends each line. */
export function dotLines(lines: readonly string[], align: 'n' | 'l' = 'n'): string {
  const inner = lines.map((line) => dotText(line).slice(1, -1))
  return align === 'l' ? `"${inner.map((line) => `${line}\\l`).join('')}"` : `"${inner.join('\\n')}"`
}

function textEntity(character: string): string {
  switch (character) {
    case '"':
      return '&quot;'
    case '&':
      return '&amp;'
    case '<':
      return '&lt;'
    case '>':
      return '&gt;'
    case '\\':
      return '&#92;&#92;' // Graphviz decodes entities before escapes, so one would start an escape
    default:
      return ' '
  }
}

/** Quotes an identifier. Characters with a meaning in DOT are percent-encoded, so that different ids stay different. */
export function dotId(id: string): string {
  if (reserved.test(id)) return `"${percent(id[0] ?? '')}${id.slice(1)}"`
  return `"${idSpecial.test(id) ? id.replace(idSpecials, percent) : id}"`
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`
}

/** Joins small pieces into chunks, so that a stream is not called once per line. */
export function chunked(write: Write): { readonly add: (text: string) => void; readonly end: () => void } {
  let pending = ''
  return {
    add(text) {
      pending += text
      if (pending.length < chunkLength) return
      write(pending)
      pending = ''
    },
    end() {
      if (pending) write(pending)
      pending = ''
    },
  }
}
