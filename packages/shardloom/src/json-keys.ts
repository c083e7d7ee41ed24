/** A key of a JSON text that its object has before. */
export interface KeyTwice {
  readonly key: string
  /** Where it stands again, in UTF-16 code units from the start. */
  readonly at: number
}

/**
 * The first key of a JSON text that stands twice in its object; undefined where there is none. JSON's own reader takes the last of both in
 * silence, and RFC 8259, section 4, says of such objects that readers differ. The text has to be JSON.
 */
export function keyTwice(text: string): KeyTwice | undefined {
  /** The keys of each object that is open; of a list none. */
  const open: (Set<string> | undefined)[] = []
  for (const { index, 1: word, 2: colon, 3: bracket = '' } of text.matchAll(/("(?:[^"\\]|\\.)*")\s*(:)?|([{}[\]])/g)) {
    if (bracket === '{' || bracket === '[') open.push(bracket === '{' ? new Set() : undefined)
    else if (bracket !== '') open.pop()
    else if (word !== undefined && colon !== undefined) {
      const key = String(JSON.parse(word))
      const keys = open.at(-1)
      if (keys?.has(key)) return { key, at: index }
      keys?.add(key)
    }
  }
  return undefined
}
