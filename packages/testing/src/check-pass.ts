import {
  corePasses,
  isShardloomError,
  type Mesh,
  type OperatorTable,
  orList,
  type Pass,
  type PluginRule,
  type Program,
  passPhases,
  programFromJson,
  programToJson,
  runPasses,
  ShardloomError,
} from '@shardloom/core'
import { verifyProgram } from '@shardloom/core/verify'
import { parseProgram } from './parse-program.js'
import { printProgram } from './print-program.js'
import { knownOf } from './text-defaults.js'
import { firstDifference, textDifference } from './text-difference.js'

/** A program to try a pass on. */
export interface PassFixture {
  readonly name: string
  /** A program, or its text as `parseProgram` reads it. */
  readonly before: Program | string
  /**
   * The text of what the pass should make of it. What the head leaves out is as in `before`, except for preferences; the
   * order of tensors counts only where the text has a line `order`.
   */
  readonly expected?: string
}

/** What a pass is tried with. */
export interface PassCheckContext {
  readonly operators: OperatorTable
  /** The mesh of fixtures whose text gives none. Default: one rank. */
  readonly mesh?: Mesh
  /** Rules that plugins add to the verifier. */
  readonly rules?: readonly PluginRule[]
  readonly warn?: (message: string) => void
}

/** The laws, in the order in which they are tried. */
export const passLaws = ['runs', 'pure', 'deterministic', 'idempotent', 'json', 'text', 'expected', 'verifies'] as const

/** One law that every pass keeps. */
export type PassLaw = (typeof passLaws)[number]

/** What {@link checkPass} found on a fixture: every law held. */
export interface PassReport {
  readonly fixture: string
  /** Whether the pass changed anything: a fixture on which it never does proves little. */
  readonly changed: boolean
  readonly result: Program
  /** The laws that were tried; `expected` only where the fixture has one. */
  readonly laws: readonly PassLaw[]
}

/**
 * Tries the laws of a pass on every fixture: it does not fail and leaves its input as it was; it makes the same bytes
 * twice; on its own result it returns the very same object; the result survives JSON and text; it is what the fixture
 * expects; and once the core passes that come later have run, the verifier finds nothing. Throws `PASS_LAW` on the first
 * that is broken, with the pass, the fixture, the law and the first difference; `PASS_CHECK` where there is nothing to
 * try, and `PROGRAM_TEXT` with the fixture whose text cannot be read.
 */
export function checkPass(pass: Pass, fixtures: readonly PassFixture[], context: PassCheckContext): PassReport[] {
  checkArguments(pass, fixtures, context)
  return fixtures.map((fixture) => new Trial(pass, fixture, context).report())
}

/** Untyped tests may give anything, and a check of nothing would pass. */
function checkArguments(pass: Partial<Pass>, fixtures: readonly Partial<PassFixture>[], context: unknown): void {
  const bad = (why: string, help: string) =>
    new ShardloomError('PASS_CHECK', `There is nothing to check: ${why}.`, { help })
  const example = "A pass is `{ name: 'plugin/verb-noun', phase, run }`."
  if (typeof pass?.run !== 'function') throw bad('the pass has no function `run`', example)
  if (typeof pass.name !== 'string' || pass.name === '') throw bad('the pass has no `name`', example)
  const phase = passPhases.find((each) => each === pass.phase)
  if (!phase) throw bad(`the phase of the pass \`${pass.name}\` is unknown`, `Use ${orList(passPhases)}.`)
  const fixture = 'Give at least one, like `{ name, before }`, where `before` is a program or its text.'
  if (!Array.isArray(fixtures) || fixtures.length === 0)
    throw bad(`\`fixtures\` of \`${pass.name}\` is not a list with programs to try the pass on`, fixture)
  for (const [index, each] of fixtures.entries()) {
    if (typeof each?.name !== 'string') throw bad(`fixture ${index} has no \`name\``, fixture)
    if (typeof each.before !== 'string' && !(each.before?.tensors instanceof Map))
      throw bad(`\`before\` of the fixture \`${each.name}\` is neither a program nor text`, fixture)
    if (each.expected !== undefined && typeof each.expected !== 'string')
      throw bad(
        `\`expected\` of the fixture \`${each.name}\` is no text`,
        'Write it with `printProgram`, or leave it out.',
      )
  }
  const { operators } = (context ?? {}) as Partial<PassCheckContext> // an untyped test may give anything
  if (!(operators instanceof Map))
    throw bad('`context.operators` is no table of operators', 'Give `{ operators }` of `composePlugins([...])`.')
}

const helps: Readonly<Record<PassLaw, string>> = {
  runs: 'Return the program unchanged where there is nothing to do.',
  pure: 'Change a copy: `edit` of core opens a draft.',
  deterministic: 'Take ids from structure; keep no counters and ask for no time or random numbers.',
  idempotent: 'Return the same object when everything is done already.',
  json: 'Leave optional fields out instead of setting them to undefined, and keep to what JSON can hold.',
  text: 'Keep to the fields of a program; otherwise report this as a fault of the text form.',
  expected: 'Lines with `-` were expected, those with `+` are there.',
  verifies: 'The verifier ran after the core passes that follow.',
}

class Trial {
  constructor(
    private readonly pass: Pass,
    private readonly fixture: PassFixture,
    private readonly context: PassCheckContext,
  ) {}

  report(): PassReport {
    const { fixture } = this
    const input = this.before()
    const written = toJson(input)
    const first = this.run(input)
    this.same('pure', written, toJson(input), 'it changed its input:')
    this.same('deterministic', toJson(first), toJson(this.run(this.before())), 'two runs on equal programs differ:')
    const bytes = (program: Program) => JSON.stringify(programToJson(program))
    if (bytes(first) !== bytes(this.run(this.before())))
      throw this.broken('deterministic', 'two runs on equal programs write the same fields in another order')
    const again = this.run(first)
    if (again !== first) {
      const difference = firstDifference(toJson(first), toJson(again)) ?? 'a new object that is equal'
      throw this.broken('idempotent', `a second run changes its own result: ${difference}`)
    }
    this.attempt('json', () => programFromJson(JSON.parse(bytes(first))), first)
    this.attempt('text', () => parseProgram(printProgram(first)), first)
    if (fixture.expected !== undefined) this.expect(fixture.expected, input, first)
    this.verify(first)
    const laws = passLaws.filter((law) => law !== 'expected' || fixture.expected !== undefined)
    return { fixture: fixture.name, changed: first !== input, result: first, laws }
  }

  /** The fixture's program, made anew, so that nothing is remembered from another run. */
  private before(): Program {
    const { before } = this.fixture
    if (typeof before !== 'string') return this.read('before', () => programFromJson(toJson(before)))
    const { mesh } = this.context
    return this.read('before', () => parseProgram(before, { ...(mesh && { mesh }) }))
  }

  /** A fixture that cannot be read says which one it is. */
  private read(field: 'before' | 'expected', reading: () => Program): Program {
    try {
      return reading()
    } catch (cause) {
      const { code, help, subject } = isShardloomError(cause) ? cause : new ShardloomError('PASS_CHECK', '')
      const text = cause instanceof Error ? cause.message : String(cause)
      const message = `Cannot read \`${field}\` of the fixture \`${this.fixture.name}\`: ${text}`
      throw new ShardloomError(code, message, { ...(help && { help }), ...(subject && { subject }), cause })
    }
  }

  private run(program: Program): Program {
    const { operators, warn = () => {} } = this.context
    const { name, phase } = this.pass
    const written = toJson(program)
    let result: Program
    try {
      result = this.pass.run(program, { operators, warn })
    } catch (cause) {
      this.same('pure', written, toJson(program), 'it changed its input and failed:')
      const text = cause instanceof Error ? cause.message : String(cause)
      throw this.broken('runs', `it throws: ${text}`, cause)
    }
    try {
      return runPasses(program, [{ name, phase, run: () => result }], { operators, warn })
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause)
      throw this.broken('runs', `it does not return a program: ${text.slice(text.indexOf(': ') + 2)}`, cause)
    }
  }

  private same(law: PassLaw, before: unknown, after: unknown, what: string): void {
    const difference = firstDifference(before, after)
    if (difference) throw this.broken(law, `${what} ${difference}`)
  }

  /** Something that should give the same program back. */
  private attempt(law: 'json' | 'text', read: () => Program, program: Program): void {
    let again: Program
    try {
      again = read()
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause)
      throw this.broken(law, `its result cannot be read back: ${text}`, cause)
    }
    this.same(law, programToJson(program), programToJson(again), 'its result reads back otherwise:')
  }

  private expect(expected: string, before: Program, result: Program): void {
    const { dtype, sizes } = knownOf(before)
    const { name, phase, mesh, uneven, notes } = before
    const defaults = { name, phase, mesh, uneven, notes, dtype, sizes: Object.fromEntries(sizes) }
    const ordered = /^\s*order \d/m.test(expected)
    const text = (program: Program) => {
      const written = printProgram(program)
      return ordered ? written : written.replace(/\n?^order \d.*\n/m, '')
    }
    const wanted = this.read('expected', () => parseProgram(expected, defaults))
    const difference = textDifference(text(wanted), text(result))
    if (difference) throw this.broken('expected', `its result is another one:\n${difference}\n`)
  }

  private verify(result: Program): void {
    const { operators, rules = [], warn = () => {} } = this.context
    const phase = passPhases.indexOf(this.pass.phase)
    const later = corePasses.filter((pass) => passPhases.indexOf(pass.phase) >= phase && pass.name !== this.pass.name)
    let finished: Program
    try {
      finished = runPasses(result, later, { operators, warn })
    } catch (cause) {
      if (!isShardloomError(cause)) throw cause
      throw this.broken('verifies', `the core passes that follow fail: ${cause.message}`, cause)
    }
    for (const { rule, violations } of verifyProgram(finished, operators, rules)) {
      const [violation] = violations
      if (!violation) continue
      const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : ''
      throw this.broken('verifies', `rule ${rule} is broken${more}: ${violation.message}`)
    }
  }

  private broken(law: PassLaw, why: string, cause?: unknown): ShardloomError {
    const { pass, fixture } = this
    const message = `The pass \`${pass.name}\` breaks the law \`${law}\` on \`${fixture.name}\`: ${why}${/[.\n]$/.test(why) ? '' : '.'}`
    return new ShardloomError('PASS_LAW', message, { subject: pass.name, help: helps[law], cause })
  }
}

/** A deep copy as JSON: later changes of the program do not reach it. */
const toJson = (program: Program): unknown => JSON.parse(JSON.stringify(programToJson(program)))
