const plain = /[^\p{L}\p{N} \u00A0·×→−…–⬡+=,'_/.-]/gu

/** The same, but a colon stands: the title is quoted, and a description ends with its line. */
const lineSyntax = /(?!: )[^\p{L}\p{N} \u00A0·×→−…–⬡+=,'_/.-]/gu

/**
 * Escapes a text for a quoted Mermaid label: every character that Mermaid, Markdown or HTML may read as syntax becomes a
 * numeric entity, and line breaks and control characters become spaces.
 */
export function mermaidText(text: string): string {
  const flat = text.replace(/[\p{C}\u2028\u2029]/gu, ' ')
  const escaped = flat.replace(plain, (character) => `#${character.codePointAt(0)};`)
  if (escaped === '') return ' ' // Mermaid refuses an empty label
  // Markdown reads `1.` and `-` at the start of a label as a list.
  return escaped
    .replace(/^(\s*\d+)\./, '$1#46;')
    .replace(/^(\s*)([-+])/, (_, blank: string, mark: string) => `${blank}#${mark.charCodeAt(0)};`)
}

/** A text for the places of Mermaid that know no entities (title, description): other characters become spaces. */
export function mermaidLine(text: string): string {
  return text.replace(lineSyntax, ' ').trim() || '–'
}

const longest = 64

/**
 * Makes a function from ids to Mermaid's narrower ones. They are made of the id's own letters, so that the text reads
 * well and the same program gives the same text; two that would meet get a number.
 */
export function mermaidIds(): (id: string) => string {
  const known = new Map<string, string>()
  const taken = new Set<string>()
  return (id) => {
    const found = known.get(id)
    if (found !== undefined) return found
    const name = `n_${id.slice(0, longest).replace(/[^A-Za-z0-9]+/g, '_')}`
    let unique = name
    for (let count = 2; taken.has(unique); count++) unique = `${name}_${count}`
    taken.add(unique)
    known.set(id, unique)
    return unique
  }
}
