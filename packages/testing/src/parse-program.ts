import {
  closePorts,
  createMesh,
  type DataType,
  type DimLayout,
  type Item,
  type Mesh,
  type OperatorNode,
  type Phase,
  type Preference,
  type Program,
  preferenceClasses,
  ShardloomError,
  type Tensor,
} from '@shardloom/core'
import { type NodeGuess, settle } from './text-defaults.js'
import { checkedLoads, checkedMesh, checkedPipeline } from './text-head.js'
import { ItemReader, oneOf, startsNode, type WrittenItem, type WrittenNode } from './text-items.js'
import { takeLayout } from './text-layout.js'
import { Cursor, nestLines, type TextLine, textError } from './text-line.js'
import { takeAtoms, takeMesh, takePlacement } from './text-placement.js'
import { completeTensor, dataTypeNames, type TensorText, takeTensor } from './text-tensor.js'

/** What a text may leave out of its head, because the caller says it. */
export interface ProgramDefaults extends Partial<Omit<Program, 'schema' | 'tensors' | 'items'>> {
  /** The type of tensors that say none. Default `bf16`. */
  readonly dtype?: DataType
  /** Sizes of dims that the text does not give. */
  readonly sizes?: Readonly<Record<string, number>>
}

/**
 * Reads a program from text, as `printProgram` writes it or as a person does: whatever follows from the rest may be left
 * out. Throws `PROGRAM_TEXT` with the line, what stands there and what would work. The grammar, with `a?` for what may be
 * missing, `a*` for any number and `a,*` for a list with commas (`()` when empty); INDENT stands for deeper lines:
 *
 *     text       = head* outside? item* order?
 *     head       = "program" word phase? | "uneven" ("refuse" | "ragged") | "mesh" mesh | "dtype" type
 *                | "sizes" (word "=" whole)* | "pipeline" pairs | "loads" pairs | "notes" pairs
 *                | "layout" word "over" word "[" word* "]"           dims that are no consecutive runs
 *                | "prefer" "[" word* "]" class "over" word (";" ("atoms" atoms | "by" word | "together" | "innermost" | "where" pairs))*
 *     mesh       = (word "=" whole ("x" whole)*)* ("|" mesh)?           degrees, their factors, other factorisations
 *     outside    = "outside" INDENT (word ":" tensor)*                  tensors that nobody makes; default an input
 *     item       = node | region
 *     node       = word,* "=" operator "(" word,* ")" (":" rule)? (";" clause)*
 *     clause     = "@" placement | "result" whole? tensor               what the result is, or result number …
 *                | ("id" | "module" | "fusion" | "differentiates" | "updates") word | "kind" kind | "segment" segment
 *                | "with" pairs | "density" share | "recompute" | "after" (word ("earlier" whole)?),* | "barrier" atoms
 *                | "stages" ("first" | "last"),* | "gradient" ("input" | "weight")
 *                | "split" splits | "by" (atom "=" strategy)*
 *                | "over" atoms reduction? ("shift" whole)? | ("from" | "to") placement
 *                | "for" word ("of" word)? ("from" (word | "-"))? ("by" word,*)?
 *     region     = "repeat" word "over" word "=" whole direction? ("select" ((word | "#" whole) "=" whole)*)?
 *                  INDENT "ports as listed"? port* (item* | ("body" word INDENT item*)* | "no bodies")
 *     port       = "carry" word "from" word "next" word,* "to" word (";" ("inner" | "result") tensor)*
 *                | "reduce" (word | "-"),* "to" word (";" "result" tensor)? | ("each" | "const") word
 *     tensor     = (role | type | "[" (word ("=" whole)?)* "]" | "shape" json | "per" "[" word* "]" | "body" word
 *                | "density" share | "growth" whole "over" word "by" whole ("to" whole)? | "version" word | "next" word
 *                | "rotation" whole "by" whole "along" atoms ("over" word)?
 *                | "copies" whole "of" json
 *                | "no" ("body" | "density" | "growth" | "rotation" | "copies" | "version" | "next") | "missing")* ("@" placement)?
 *     placement  = "replicate" | (dim "/" atoms | "partial(" reduction ")/" atoms) ("·" placement)? | json
 *     splits     = "none" | (dim "/" atoms | "partial(" whole,* ")/" atoms) ("·" splits)? | json
 *     atoms      = (atom | axis) ("." atoms)? | "-" | json
 *     pairs      = (word "=" (word | json))* | json;   share = whole "/" whole;   word = bare | json string
 *     order      = "order" (whole ("-" whole)?)*                        where tensors were made in another order
 *
 * Lines that begin with `#` are comments; a line that begins with `;` goes on with the one before.
 */
export function parseProgram(text: string, defaults: ProgramDefaults = {}): Program {
  if (typeof text !== 'string') {
    const found = text === null ? 'null' : typeof text
    const help = 'Give text such as `y = gelu(x) : batch -> batch`; `programFromJson` of core reads JSON.'
    throw new ShardloomError('PROGRAM_TEXT', `Cannot read a program from ${found}: it is not a string.`, { help })
  }
  return new Parser(nestLines(text), defaults).program()
}

const headWords = [
  'program',
  'uneven',
  'mesh',
  'dtype',
  'sizes',
  'pipeline',
  'loads',
  'notes',
  'layout',
  'prefer',
  'outside',
  'order',
] as const
const phases: readonly Phase[] = ['training', 'prefill', 'decode']

interface Declared {
  readonly text: TensorText
  readonly cursor: Cursor
}

class Parser {
  private name: string
  private phase: Phase
  private uneven: Program['uneven']
  private mesh: Mesh
  private pipeline: Program['pipeline']
  private notes: Program['notes']
  private loads: Program['loads']
  private dtype: DataType
  private readonly sizes: Map<string, number>
  private readonly preferences: Preference[]
  private readonly layouts: DimLayout[]
  private readonly declared = new Map<string, Declared>()
  private readonly outside: string[] = []
  private order: Cursor | undefined
  private readonly nodes = new Map<WrittenNode, OperatorNode>()

  constructor(
    private readonly lines: readonly TextLine[],
    defaults: ProgramDefaults,
  ) {
    this.name = defaults.name ?? 'program'
    this.phase = defaults.phase ?? 'training'
    this.uneven = defaults.uneven ?? 'refuse'
    this.mesh = defaults.mesh ?? createMesh()
    this.pipeline = defaults.pipeline
    this.loads = defaults.loads
    this.notes = defaults.notes ?? {}
    this.dtype = defaults.dtype ?? 'bf16'
    this.sizes = new Map(Object.entries(defaults.sizes ?? {}))
    this.preferences = [...(defaults.preferences ?? [])]
    this.layouts = [...(defaults.layouts ?? [])]
  }

  program(): Program {
    const written = this.read()
    const tensors = this.settle(written)
    const items = this.ports(this.items(written), written, tensors)
    return {
      schema: 'shardloom.program/1',
      name: this.name,
      phase: this.phase,
      mesh: this.mesh,
      tensors: this.ordered(tensors),
      items,
      preferences: this.preferences,
      ...(this.pipeline && { pipeline: this.pipeline }),
      ...(this.layouts.length > 0 && { layouts: this.layouts }),
      uneven: this.uneven,
      ...(this.loads && { loads: this.loads }),
      notes: this.notes,
    }
  }

  /** Reads the head, whose mesh the rest needs, then the rest. */
  private read(): readonly WrittenItem[] {
    const later: TextLine[] = []
    const blocks: { readonly keyword: 'prefer' | 'outside'; readonly cursor: Cursor }[] = []
    for (const line of this.lines) {
      const cursor = new Cursor(line)
      const keyword = startsNode(line) ? undefined : cursor.keyword(headWords)
      if (keyword === undefined) later.push(line)
      else if (keyword === 'prefer' || keyword === 'outside') blocks.push({ keyword, cursor })
      else this.head(keyword, cursor)
      const [below] = line.children
      if (below && keyword !== undefined && keyword !== 'outside')
        throw new Cursor(below).error('nothing can be indented here')
    }
    for (const { keyword, cursor } of blocks) {
      if (keyword === 'prefer') this.preferences.push(this.preference(cursor))
      else this.outsideBlock(cursor)
    }
    return new ItemReader(this.mesh, (...said) => this.declare(...said)).items(later)
  }

  private head(keyword: Exclude<(typeof headWords)[number], 'prefer' | 'outside'>, cursor: Cursor): void {
    switch (keyword) {
      case 'program':
        this.name = cursor.word('a name')
        if (!cursor.done()) this.phase = oneOf(cursor, phases, 'phase')
        break
      case 'uneven':
        this.uneven = oneOf(cursor, ['refuse', 'ragged'], 'way with uneven shares')
        break
      case 'mesh':
        this.mesh = checkedMesh(takeMesh(cursor), cursor)
        break
      case 'dtype':
        this.dtype = oneOf(cursor, dataTypeNames, 'element type')
        break
      case 'sizes':
        while (!cursor.done()) {
          const dim = cursor.word('a dim')
          cursor.expect('=', 'Write `sizes batch=4 hidden=8`.')
          this.sizes.set(dim, cursor.whole('a size'))
        }
        break
      case 'pipeline':
        this.pipeline = checkedPipeline(cursor.pairs(), this.mesh, cursor)
        break
      case 'loads':
        this.loads = checkedLoads(cursor.pairs(), cursor)
        break
      case 'notes':
        this.notes = cursor.pairs()
        break
      case 'layout':
        this.layouts.push(takeLayout(cursor))
        break
      case 'order':
        this.order = cursor
        return
    }
    cursor.end()
  }

  private preference(cursor: Cursor): Preference {
    const help = 'Write it like `prefer [kv_heads ffn] feature over tp`.'
    cursor.expect('[', help)
    const dims: string[] = []
    while (!cursor.take(']')) dims.push(cursor.word('a dim or `]`'))
    const kind = oneOf(cursor, preferenceClasses, 'class of preference')
    cursor.expectWord('over', help)
    const axis = cursor.word('an axis')
    let more: Partial<Preference> = {}
    while (cursor.take(';')) {
      const clause = oneOf(cursor, ['atoms', 'by', 'together', 'innermost', 'where'], 'clause of a preference')
      if (clause === 'atoms') more = { ...more, atoms: takeAtoms(cursor, this.mesh) }
      else if (clause === 'by') more = { ...more, strategy: cursor.word('a strategy') }
      else if (clause === 'together' || clause === 'innermost') more = { ...more, [clause]: true }
      else more = { ...more, where: cursor.pairs() as NonNullable<Preference['where']> } // its reader checks selectors
    }
    cursor.end()
    return { strategy: axis, axis, class: kind, dims, ...more }
  }

  private outsideBlock(head: Cursor): void {
    head.take(':')
    head.end()
    for (const line of head.line.children) {
      const cursor = new Cursor(line)
      const id = cursor.word('a tensor')
      cursor.take(':')
      const text = takeTensor(cursor, this.mesh)
      cursor.end()
      const [below] = line.children
      if (below) throw new Cursor(below).error('nothing can be indented below a tensor')
      this.declare(id, text, cursor)
      if (text.dims || text.missing) this.outside.push(id)
    }
  }

  private declare(id: string, text: TensorText, cursor: Cursor): void {
    const known = this.declared.get(id)
    if (known)
      throw cursor.error(
        `line ${known.cursor.line.number} says already what \`${id}\` is`,
        'Say it once.',
        cursor.line.text,
      )
    this.declared.set(id, { text, cursor })
  }

  private settle(written: readonly WrittenItem[]): Map<string, Tensor> {
    const { mesh, phase, dtype, sizes } = this
    let line = this.lines[0]
    const told = new Set<string>()
    const tensors = settle<WrittenNode>(
      written,
      { mesh, phase, dtype, sizes },
      {
        outside: this.outside,
        tensor: (id, guess) => {
          told.add(id)
          const { text = {}, cursor } = this.declared.get(id) ?? {}
          if (text.missing) return undefined
          const tensor = completeTensor(id, guess, text, this.sizes)
          if (!('unknown' in tensor)) return tensor
          const { number = 1, text: shown = '' } = cursor?.line ?? line ?? {}
          const help =
            'Give sizes in a line such as `sizes batch=4 hidden=8`, and dims below `outside`, like `w : parameter [hidden ffn]`.'
          throw textError(
            number,
            shown,
            `${tensor.unknown} of the tensor \`${id}\` does not follow from anything`,
            help,
          )
        },
        node: (node, guess) => {
          line = node.line
          return this.begin(node, guess)
        },
        finish: (node, guess, tensor) => this.nodes.set(node, this.finish(node, guess, tensor)),
      },
    )
    for (const [id, { cursor }] of this.declared)
      if (!told.has(id))
        throw cursor.error(
          `nobody reads \`${id}\`, so that its dims do not follow`,
          'Write its dims, like `[hidden ffn]`.',
          cursor.line.text,
        )
    return tensors
  }

  private begin(node: WrittenNode, guess: NodeGuess): Pick<OperatorNode, 'id' | 'segment' | 'module' | 'rule'> {
    const { segment = guess.segment, module = guess.module, rule = guess.rule } = node
    if (rule !== undefined) return { id: guess.id, segment, module, rule }
    const help = 'Write it behind the operands, like `: batch hidden, hidden ffn -> batch ffn`.'
    throw textError(node.line.number, node.line.text, 'it has no rule, and none follows from its operands', help)
  }

  private finish(node: WrittenNode, guess: NodeGuess, tensor: (id: string) => Tensor | undefined): OperatorNode {
    const { line: _, communication: said, ...rest } = node
    const complete = { kind: guess.kind, ...rest, ...this.begin(node, guess) }
    if (!said) return complete
    const { atoms, reduction, shift, consumer, strategies = [] } = said
    const [input, output] = [tensor(node.inputs[0] ?? ''), tensor(node.outputs[0] ?? '')]
    const placement = (cursor: Cursor | undefined, of: Tensor | undefined, what: string) => {
      const found = cursor ? takePlacement(cursor.copy(), of?.dims ?? [], this.mesh) : of?.placement
      const help = `Write it, like \`; ${what} batch/dp\`.`
      if (!found) throw textError(node.line.number, node.line.text, `its placement \`${what}\` does not follow`, help)
      return found
    }
    if (consumer === undefined)
      throw textError(
        node.line.number,
        node.line.text,
        'it does not say for whom it communicates',
        'Write `; for reader by tp`.',
      )
    const { tensor: of = guess.rest.source, producer = guess.rest.producer } = said
    return {
      ...complete,
      communication: {
        atoms,
        ...(reduction && { reduction }),
        ...(shift !== undefined && { shift }),
        from: placement(said.from, input, 'from'),
        to: placement(said.to, output, 'to'),
        reason: { tensor: of, producer, consumer, strategies },
      },
    }
  }

  private items(written: readonly WrittenItem[]): Item[] {
    return written.flatMap((item): Item[] => {
      if (item.type === 'node') return [this.nodes.get(item) ?? []].flat()
      const { line: _, listed: __, ...region } = item
      return [{ ...region, bodies: region.bodies.map((body) => ({ ...body, items: this.items(body.items) })) }]
    })
  }

  /** Gives regions the ports that follow, except where all are listed. */
  private ports(items: readonly Item[], written: readonly WrittenItem[], tensors: ReadonlyMap<string, Tensor>): Item[] {
    const restore = (closed: readonly Item[], texts: readonly WrittenItem[]): Item[] =>
      closed.map((item, index) => {
        const text = texts[index]
        if (item.type === 'node' || text?.type !== 'region') return item
        const bodies = item.bodies.map((body, which) => ({
          ...body,
          items: restore(body.items, text.bodies[which]?.items ?? []),
        }))
        return { ...item, bodies, ...(text.listed && { ports: text.ports }) }
      })
    return restore(closePorts(items, tensors), written)
  }

  private ordered(tensors: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
    const { order } = this
    if (!order) return tensors
    const entries = [...tensors]
    const sorted: [string, Tensor][] = []
    while (!order.done()) {
      const first = order.whole('a number')
      const last = order.take('-') ? order.whole('a number') : first
      for (let at = first; at <= last && sorted.length <= entries.length; at++) {
        const entry = entries[at]
        if (entry) sorted.push(entry)
        else throw order.error(`there is no tensor ${at}`, orderHelp, order.line.text)
      }
    }
    const result = new Map(sorted)
    if (result.size === entries.length && sorted.length === entries.length) return result
    throw order.error(`it does not name each of the ${entries.length} tensors once`, orderHelp, order.line.text)
  }
}

const orderHelp = 'Leave the line out when you change a text: tensors then stand in the order of the text.'
