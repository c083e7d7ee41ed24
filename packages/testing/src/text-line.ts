import { type Json, ShardloomError } from '@shardloom/core'

/** A line of program text with the lines that are indented below it. */
export interface TextLine {
  /** Counted from 1. */
  readonly number: number
  readonly text: string
  readonly children: TextLine[]
}

const deepest = 64
/** A word that needs no quotes: ids such as `forward/x.input:1`, `x/all-reduce(tp.0.tp.1)#2`, `norm+dp`. */
const bareWord = /[A-Za-z0-9_](?:[\w./+#~*^-]|:(?=\w)|\([\w./+:#~*^-]*\))*/y
const operatorWord = /[A-Za-z0-9_](?:[\w./+#~*^-]|:(?=\w))*/y
const quotedWord = /"(?:[^"\\]|\\.)*"/y

const matches = (pattern: RegExp, text: string) => {
  pattern.lastIndex = 0
  return pattern.exec(text)?.[0] === text
}

/** A word as it is written: bare where its characters allow it, else as a JSON string. */
export function wordText(word: string): string {
  return matches(bareWord, word) ? word : JSON.stringify(word)
}

/** The name of an operator as it is written before its operands. */
export function operatorText(name: string): string {
  return matches(operatorWord, name) ? name : JSON.stringify(name)
}

const isLiteral = (text: string) => /^(?:true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)$/.test(text)

/** A value as it is written after `=`: a bare word is a string, everything else is JSON. */
export function valueText(value: Json): string {
  if (typeof value === 'string' && !isLiteral(value)) return wordText(value)
  return JSON.stringify(value)
}

/** `key=value` for every field, separated by spaces; `{}` when there are none. */
export function pairsText(record: Readonly<Record<string, Json>>): string {
  return (
    Object.entries(record)
      .map(([key, value]) => `${wordText(key)}=${valueText(value)}`)
      .join(' ') || '{}'
  )
}

/** Words separated by commas, `()` for none. */
export function wordsText(words: readonly string[]): string {
  return words.map(wordText).join(', ') || '()'
}

/** The error for text that cannot be read. `text` is quoted, shortened. */
export function textError(line: number, text: string, why: string, help?: string): ShardloomError {
  const shown = text.trim()
  const quoted = shown.length > 100 ? `${shown.slice(0, 100)}…` : shown
  return new ShardloomError('PROGRAM_TEXT', `Line ${line}: cannot read \`${quoted}\`: ${why}.`, {
    subject: shown,
    ...(help !== undefined && { help }),
  })
}

/**
 * Divides a text into lines and nests them by their indentation. Blank lines and those that begin with `#` say nothing; a
 * line that begins with `;` goes on with the one before.
 */
export function nestLines(text: string): TextLine[] {
  const top: TextLine[] = []
  const levels: { readonly indent: number; readonly lines: TextLine[] }[] = []
  let last: { text: string; readonly children: TextLine[] } | undefined
  text.split(/\r?\n/).forEach((content, index) => {
    const trimmed = content.trim()
    if (trimmed === '' || trimmed.startsWith('#')) return
    const number = index + 1
    if (trimmed.startsWith(';')) {
      if (!last) throw textError(number, content, 'there is no line that it could go on with')
      last.text += ` ${trimmed}`
      return
    }
    const indent = content.length - content.trimStart().length
    if (levels.length === 0) levels.push({ indent, lines: top })
    const before = levels.length
    while (levels.length > 1 && indent < (levels.at(-1)?.indent ?? 0)) levels.pop()
    let level = levels.at(-1)
    if (last && level && indent > level.indent && levels.length === before) {
      level = { indent, lines: last.children }
      levels.push(level)
    }
    if (level?.indent !== indent)
      throw textError(number, content, 'its indentation fits no line above', 'Align it with its neighbours.')
    if (levels.length > deepest) throw textError(number, content, `lines are nested more than ${deepest} deep`)
    const line = { number, text: trimmed, children: [] }
    level.lines.push(line)
    last = line
  })
  return top
}

/** Reads one line from left to right. Everything that it cannot read throws `PROGRAM_TEXT`. */
export class Cursor {
  private at = 0
  private readonly text: string

  constructor(readonly line: TextLine) {
    this.text = line.text
  }

  /** The error for the rest of the line, or for `text`. */
  error(why: string, help?: string, text = this.text.slice(this.at) || this.text): ShardloomError {
    return textError(this.line.number, text, why, help)
  }

  /** Whether nothing is left. */
  done(): boolean {
    this.skip()
    return this.at >= this.text.length
  }

  /** Whether the clause ends here. */
  ends(): boolean {
    return this.done() || this.text[this.at] === ';'
  }

  /** Whether the text goes on with `symbol`. */
  sees(symbol: string): boolean {
    this.skip()
    return this.text.startsWith(symbol, this.at)
  }

  /** Takes `symbol` if it comes next. */
  take(symbol: string): boolean {
    if (!this.sees(symbol)) return false
    this.at += symbol.length
    return true
  }

  expect(symbol: string, help?: string): void {
    if (!this.take(symbol)) throw this.error(`\`${symbol}\` should stand here`, help)
  }

  /** Takes one of `words` if it comes next, bare and whole. */
  keyword<Word extends string>(words: readonly Word[]): Word | undefined {
    const start = this.at
    this.skip()
    const found = this.match(bareWord)
    const word = words.find((each) => each === found)
    if (word === undefined) this.at = start
    return word
  }

  /** Takes a bare word that must come next. */
  expectWord(word: string, help?: string): void {
    if (this.keyword([word]) === undefined) throw this.error(`\`${word}\` should stand here`, help)
  }

  /** A word, bare or quoted. `what` says what it names. */
  word(what: string, pattern: RegExp = bareWord): string {
    this.skip()
    if (this.text[this.at] === '"') {
      const start = this.at
      const found = this.match(quotedWord)
      try {
        if (found !== undefined) return JSON.parse(found) as string // the pattern takes strings only
      } catch {}
      this.at = start
      throw this.error('a quoted word must be a JSON string')
    }
    const found = this.match(pattern)
    if (found === undefined) throw this.error(`${what} should stand here`, 'Put quotes around unusual characters.')
    return found
  }

  /** The name of an operator, which ends at the parenthesis. */
  operator(): string {
    return this.word('the name of an operator', operatorWord)
  }

  /** Words separated by commas; `()` is none of them. */
  words(what: string): string[] {
    if (this.take('()')) return []
    const list = [this.word(what)]
    while (this.take(',')) list.push(this.word(what))
    return list
  }

  /** The number of a result, if one comes next. */
  index(): number | undefined {
    this.skip()
    const found = this.match(/\d{1,4}(?![\w.])/y)
    return found === undefined ? undefined : Number(found)
  }

  /** A whole number. */
  whole(what: string): number {
    this.skip()
    const start = this.at
    const found = Number(this.match(/-?\d{1,16}(?![\w.])/y) ?? Number.NaN)
    if (Number.isSafeInteger(found)) return found
    this.at = start
    throw this.error(`${what} should stand here, a whole number`)
  }

  /** A share such as `8/256`, if one comes next. */
  share(): [number, number] | undefined {
    this.skip()
    const found = this.match(/\d{1,15}\/\d{1,15}(?![\w.])/y)
    if (found === undefined) return undefined
    const [part = 0, whole = 1] = found.split('/').map(Number)
    return [part, whole]
  }

  /** Another cursor at the same place. */
  copy(): Cursor {
    const other = new Cursor(this.line)
    other.at = this.at
    return other
  }

  /** Goes on to the end of the clause: past one JSON value, or past plain text. */
  pass(): void {
    if (this.sees('{')) this.json()
    else this.raw()
  }

  /** The text up to the next `;` or the end of the line. */
  raw(): string {
    this.skip()
    const start = this.at
    const end = this.text.indexOf(';', start)
    this.at = end < 0 ? this.text.length : end
    return this.text.slice(start, this.at).trim()
  }

  /** A JSON object, list or string. */
  json(): Json {
    this.skip()
    const start = this.at
    let depth = 0
    do {
      const symbol = this.text[this.at]
      if (symbol === '"') this.at += Math.max(1, this.match(quotedWord, false)?.length ?? 1)
      else {
        if (symbol === '{' || symbol === '[') depth++
        if (symbol === '}' || symbol === ']') depth--
        this.at++
      }
    } while (depth > 0 && this.at < this.text.length)
    const text = this.text.slice(start, this.at)
    try {
      return JSON.parse(text) as Json // JSON.parse makes nothing else
    } catch {
      throw this.error('this is not JSON', undefined, text)
    }
  }

  /** What follows `=`: a bare word is a string, everything else is JSON. */
  value(): Json {
    this.skip()
    if (/[{["]/.test(this.text[this.at] ?? '')) return this.json()
    const literal = this.match(/[^\s;,]+/y, false)
    if (literal !== undefined && isLiteral(literal)) {
      this.at += literal.length
      return JSON.parse(literal) as Json // a number, a truth value or null
    }
    return this.word('a value')
  }

  /** `key=value …` until the end of the clause, or one JSON object. */
  pairs(): Record<string, Json> {
    if (this.sees('{')) return this.json() as Record<string, Json> // it begins with a brace
    const entries: [string, Json][] = []
    while (!this.ends()) {
      const key = this.word('a name')
      this.expect('=', 'Write `name=value`.')
      entries.push([key, this.value()])
    }
    return Object.fromEntries(entries)
  }

  /** Throws unless the line ends here. */
  end(): void {
    if (!this.done()) throw this.error('nothing should follow here')
  }

  private skip(): void {
    while (this.text[this.at] === ' ' || this.text[this.at] === '\t') this.at++
  }

  private match(pattern: RegExp, move = true): string | undefined {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)?.[0]
    if (found !== undefined && move) this.at += found.length
    return found
  }
}
