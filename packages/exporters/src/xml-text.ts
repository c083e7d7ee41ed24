/** What no XML 1.0 document may hold (W3C 2008, section 2.2): control characters, lone surrogates and two more. */
const forbidden = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu
const special = /[&<>"'\t\n\r]/g

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

/**
 * A text as XML, in elements and in attributes: what has a meaning there becomes an entity, and so do line breaks, which a
 * parser would change; characters that XML forbids become U+FFFD.
 */
export function xmlText(text: string): string {
  return text
    .replace(forbidden, '\u{fffd}')
    .replace(special, (character) => entities[character] ?? `&#${character.charCodeAt(0)};`)
}
