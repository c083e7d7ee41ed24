import pc from 'picocolors'
import type { NodeKind } from 'shardloom'
import type { Io, Output } from './io.js'

/** How text for people looks on one stream: colour only on a terminal, plain ASCII where it shows nothing else. */
export interface Style {
  /** Whether people read it at a terminal: long texts are broken into lines. */
  readonly terminal: boolean
  readonly dim: (text: string) => string
  readonly bold: (text: string) => string
  readonly good: (text: string) => string
  readonly bad: (text: string) => string
  /** The glyph of a node kind, in its colour. */
  readonly glyph: (kind: NodeKind) => string
  /** The last step before writing: replaces each character that the terminal may lack by ones that it has. */
  readonly encode: (text: string) => string
}

const glyphs: Readonly<Record<NodeKind, string>> = { compute: '■', communication: '⬡', control: '◆', memory: '▤' }

const ascii: Readonly<Record<string, string>> = {
  '■': 'c',
  '⬡': 'x',
  '◆': '!',
  '▤': 'm',
  '─': '-',
  '·': '.',
  '×': 'x',
  '…': '...',
  '−': '-',
  '±': '+-',
  µ: 'u',
  '█': '#',
  '–': '-',
  '→': '->',
  '›': '>',
  '\u00a0': ' ',
}

/** The style for a stream, as its environment describes the terminal. */
export function styleOf(stream: Output, environment: Io['env']): Style {
  const { TERM, NO_COLOR } = environment
  const colours = pc.createColors(Boolean(stream.isTTY) && !NO_COLOR && TERM !== 'dumb')
  const kinds: Readonly<Record<NodeKind, (text: string) => string>> = {
    compute: colours.blue,
    communication: colours.yellow,
    control: colours.gray,
    memory: colours.green,
  }
  const plain = TERM === 'dumb' || !showsUnicode(environment)
  return {
    terminal: Boolean(stream.isTTY),
    dim: colours.dim,
    bold: colours.bold,
    good: colours.green,
    bad: colours.red,
    glyph: (kind) => kinds[kind](glyphs[kind]),
    encode: (text) => (plain ? text.replace(/\P{ASCII}/gu, (each) => ascii[each] ?? '?') : text),
  }
}

/** A locale that says nothing is taken to show UTF-8, as nearly all do. */
function showsUnicode({ LC_ALL, LC_CTYPE, LANG }: Io['env']): boolean {
  const locale = LC_ALL || LC_CTYPE || LANG
  return !locale || /utf-?8/i.test(locale)
}

/** Text that a user controls, safe for a terminal: control and direction characters become spaces. */
export function singleLine(text: string): string {
  return text.replace(/[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]+/gu, ' ').replaceAll('\u00a0', ' ')
}
