import {
  type Earlier,
  type Mesh,
  type NodeKind,
  type Partition,
  type Port,
  parseRule,
  type Reduction,
  type Region,
  type Segment,
} from '@shardloom/core'
import type { NodeText, RegionText } from './text-defaults.js'
import { Cursor, type TextLine } from './text-line.js'
import { takeAtoms, takePartition, usualBy } from './text-placement.js'
import { type TensorText, takeShare, takeTensor } from './text-tensor.js'

/** A node as it is written; what its communication says is completed once the tensors around it are known. */
export interface WrittenNode extends NodeText {
  readonly line: TextLine
  readonly communication?: WrittenCommunication
}

/** The clauses `over`, `from`, `to` and `for`. */
export interface WrittenCommunication {
  readonly atoms: readonly string[]
  readonly reduction?: Reduction
  readonly shift?: number
  /** Stand before the placements, whose dims are not known yet. */
  readonly from?: Cursor
  readonly to?: Cursor
  readonly consumer?: string
  readonly tensor?: string
  readonly producer?: string | null
  readonly strategies?: readonly string[]
}

/** A region as it is written. */
export interface WrittenRegion extends RegionText<WrittenNode> {
  readonly line: TextLine
  readonly extent: number
  readonly order: Region['order']
  readonly select: Region['select']
  readonly bodies: readonly { readonly name: string; readonly items: readonly WrittenItem[] }[]
  /** Whether all ports are written, instead of those alone that do not follow. */
  readonly listed: boolean
}

export type WrittenItem = WrittenNode | WrittenRegion

const kinds: readonly NodeKind[] = ['compute', 'communication', 'control', 'memory']
const segments: readonly Segment[] = ['forward', 'backward', 'optimizer', 'prefill', 'decode']
const reductions: readonly Reduction[] = ['sum', 'max', 'lse']
const clauses = [
  ...([
    'id',
    'kind',
    'segment',
    'module',
    'with',
    'density',
    'fusion',
    'differentiates',
    'recompute',
    'updates',
  ] as const),
  ...(['stages', 'gradient', 'after', 'barrier', 'split', 'by', 'over', 'from', 'to', 'for', 'result'] as const),
]

/** Reads the lines of a body. What they say of tensors goes to `declare`. */
export class ItemReader {
  constructor(
    private readonly mesh: Mesh,
    private readonly declare: (id: string, text: TensorText, cursor: Cursor) => void,
  ) {}

  items(lines: readonly TextLine[]): WrittenItem[] {
    return lines.map((line): WrittenItem => {
      const cursor = new Cursor(line)
      const isNode = startsNode(line)
      if (!isNode && cursor.keyword(['repeat'])) return this.region(cursor)
      const [below] = line.children
      if (below) throw new Cursor(below).error('nothing can be indented below a node')
      if (!isNode) throw cursor.error('it is neither a node nor a region', nodeHelp)
      return this.node(cursor)
    })
  }

  private node(cursor: Cursor): WrittenNode {
    const outputs = cursor.sees('=') ? [] : cursor.words('a result')
    cursor.expect('=', nodeHelp)
    const op = cursor.operator()
    cursor.expect('(', nodeHelp)
    const inputs = cursor.sees(')') ? [] : cursor.words('an operand')
    cursor.expect(')', nodeHelp)
    const rule = cursor.take(':') ? takeRule(cursor, inputs.length, outputs.length) : undefined
    let node: WrittenNode = {
      type: 'node',
      line: cursor.line,
      op,
      inputs,
      outputs,
      ...(rule !== undefined && { rule }),
    }
    let by: Partition['by'] | undefined
    while (!cursor.done()) {
      cursor.expect(';', 'Clauses are separated by `;`.')
      if (cursor.sees('@')) this.result(0, outputs, cursor)
      else if (cursor.copy().keyword(['by'])) {
        cursor.expectWord('by')
        by = strings(cursor)
      } else node = { ...node, ...this.clause(cursor, node, outputs) }
    }
    if (!by) return node
    if (!node.partition)
      throw cursor.error('`by` says who asked for a `split`, but there is none', undefined, cursor.line.text)
    return { ...node, partition: { ...node.partition, by } }
  }

  private clause(cursor: Cursor, node: WrittenNode, outputs: readonly string[]): Partial<WrittenNode> {
    const name = cursor.keyword(clauses)
    switch (name) {
      case 'id':
      case 'module':
      case 'fusion':
      case 'differentiates':
      case 'updates':
        return { [name]: cursor.word('a name') }
      case 'kind':
        return { kind: oneOf(cursor, kinds, 'kind of node') }
      case 'segment':
        return { segment: oneOf(cursor, segments, 'segment') }
      case 'with':
        return { attributes: cursor.pairs() }
      case 'density':
        return { density: takeShare(cursor) }
      case 'recompute':
        return { recompute: true }
      case 'stages':
        return { stages: cursor.words('a stage').map((stage) => (stage === 'first' ? stage : 'last')) }
      case 'gradient':
        return { gradient: oneOf(cursor, ['input', 'weight'], 'gradient') }
      case 'barrier':
        return { barrier: takeAtoms(cursor, this.mesh) }
      case 'after':
        return { after: takeAfter(cursor) }
      case 'split': {
        const splits = takePartition(cursor, this.mesh)
        return { partition: { ...splits, by: usualBy(splits, this.mesh) } }
      }
      case 'over': {
        const atoms = takeAtoms(cursor, this.mesh)
        const reduction = cursor.keyword(reductions)
        const shift = cursor.keyword(['shift']) && cursor.whole('a distance')
        const said = { ...(reduction && { reduction }), ...(shift !== undefined && { shift }) }
        return { communication: { ...node.communication, atoms, ...said } }
      }
      case 'from':
      case 'to': {
        const place = cursor.copy()
        cursor.pass()
        return { communication: { atoms: [], ...node.communication, [name]: place } }
      }
      case 'for':
        return { communication: { atoms: [], ...node.communication, ...takeReason(cursor) } }
      case 'result':
        this.result(cursor.index() ?? 0, outputs, cursor)
        return {}
      default:
        throw cursor.error('there is no such clause', `Use \`@ placement\` or one of: ${clauses.join(', ')}.`)
    }
  }

  private result(index: number, outputs: readonly string[], cursor: Cursor): void {
    const id = outputs[index]
    if (id === undefined) throw cursor.error(`the node has no result ${index}`, 'Results are counted from 0.')
    this.declare(id, takeTensor(cursor, this.mesh), cursor)
  }

  private region(cursor: Cursor): WrittenRegion {
    const { line } = cursor
    const id = cursor.word('the id of a region')
    cursor.expectWord('over', repeatHelp)
    const axis = cursor.word('an axis')
    cursor.expect('=', repeatHelp)
    const extent = cursor.whole('the number of iterations')
    const order = cursor.keyword(['forward', 'reverse', 'parallel']) ?? 'forward'
    const choice = cursor.keyword(['select']) && takeChoice(cursor)
    cursor.end()
    const named: { name: string; items: readonly WrittenItem[] }[] = []
    const ports: Port[] = []
    let [listed, none] = [false, false]
    const items: TextLine[] = []
    for (const each of line.children) {
      const inner = new Cursor(each)
      const keyword = startsNode(each) ? undefined : inner.keyword(['ports', 'body', 'no', ...portWords])
      if (keyword === undefined) {
        items.push(each)
        continue
      }
      if (keyword === 'body') {
        named.push({ name: inner.word('the name of a body'), items: this.items(each.children) })
        inner.take(':')
      } else if (each.children.length) throw inner.error('nothing can be indented below it', undefined, each.text)
      else if (keyword === 'ports') {
        inner.expectWord('as')
        inner.expectWord('listed')
        listed = true
      } else if (keyword === 'no') {
        inner.expectWord('bodies')
        none = true
      } else ports.push(this.port(keyword, inner))
      inner.end()
    }
    const derived = ports.find((port) => port.kind === 'each' || port.kind === 'const')
    if (derived && !listed)
      throw cursor.error(
        `it lists the port \`${derived.kind}\``,
        'Leave such ports out: they follow from what the bodies read.',
        line.text,
      )
    if (items[0] && (named.length || none))
      throw new Cursor(items[0]).error('it stands beside `body` lines', 'Indent it below one of them.')
    const bodies = named.length || none ? named : [{ name: axis, items: this.items(items) }]
    const names = bodies.map(({ name }) => name)
    if (!choice && bodies.length !== 1)
      throw cursor.error(
        'it does not say which iterations run which body',
        `Write \`select ${names.map((name) => `${name}=1`).join(' ')}\`.`,
        line.text,
      )
    const select = choice?.map(({ name, count }) => {
      const body = typeof name === 'number' ? name : names.indexOf(name)
      if (body < 0) throw cursor.error(`it has no body \`${name}\``, `Its bodies are: ${names.join(', ')}.`, line.text)
      return { body, count }
    })
    return {
      type: 'region',
      line,
      id,
      axis,
      extent,
      order,
      bodies,
      ports,
      listed,
      select: select ?? [{ body: 0, count: extent }],
    }
  }

  private port(kind: Port['kind'], cursor: Cursor): Port {
    if (kind === 'each' || kind === 'const') return { kind, tensor: cursor.word('a tensor') }
    let port: Port
    const names: Record<string, string> = {}
    if (kind === 'carry') {
      const inner = cursor.word('the tensor inside')
      cursor.expectWord('from', carryHelp)
      const initial = cursor.word('the first value')
      cursor.expectWord('next', carryHelp)
      const next = cursor.words('the result of a body')
      cursor.expectWord('to', carryHelp)
      const result = cursor.word('the last value')
      names['inner'] = inner
      names['result'] = result
      port = { kind, initial, inner, next, result }
    } else {
      const term = () => (cursor.take('-') ? null : cursor.word('the term of a body, or `-`'))
      const inner = cursor.take('()') ? [] : [term()]
      while (inner.length && cursor.take(',')) inner.push(term())
      cursor.expectWord('to', 'Write it like `reduce loss to total`.')
      const result = cursor.word('the sum')
      names['result'] = result
      port = { kind, inner, result }
    }
    while (cursor.take(';')) {
      const which = oneOf(cursor, Object.keys(names), 'tensor of this port')
      this.declare(names[which] ?? '', takeTensor(cursor, this.mesh), cursor)
    }
    return port
  }
}

const portWords: readonly Port['kind'][] = ['carry', 'each', 'const', 'reduce']
const nodeHelp = 'Write it like `y = einsum(x, w) : batch hidden, hidden ffn -> batch ffn`.'
const repeatHelp = 'Write it like `repeat layers over layer=4 reverse`.'
const carryHelp = 'Write it like `carry x from embedding next residual to out`.'

/** Whether a line begins with results and `=`, so that a result may be called like a keyword. */
export function startsNode(line: TextLine): boolean {
  const cursor = new Cursor(line)
  if (cursor.sees('=')) return true
  try {
    cursor.word('a result')
  } catch {
    return false
  }
  return cursor.sees('=') || cursor.sees(',')
}

/** A rule. One in quotes is taken as it is; a bare one must be a rule for that many operands and results. */
function takeRule(cursor: Cursor, operands: number, results: number): string {
  if (cursor.sees('"')) return cursor.word('a rule')
  const from = cursor.copy()
  const text = cursor.raw()
  try {
    const rule = parseRule(text)
    const count = (list: readonly unknown[], name: string) => `${list.length} ${name}${list.length === 1 ? '' : 's'}`
    if (rule.operands.length !== operands || rule.results.length !== results)
      throw new Error(
        `its rule has ${count(rule.operands, 'operand')} and ${count(rule.results, 'result')}, the node has ${operands} and ${results}.`,
      )
  } catch (error) {
    const why =
      error instanceof Error
        ? error.message.replace(/^Cannot read the rule .*`: /, 'as a rule ').replace(/\.$/, '')
        : ''
    throw from.error(why, 'Write it like `batch hidden, hidden ffn -> batch ffn`, with `.` for a scalar.', text)
  }
  return text
}

function takeReason(cursor: Cursor): Partial<WrittenCommunication> {
  const consumer = cursor.word('the reader')
  const tensor = cursor.keyword(['of']) && cursor.word('a tensor')
  const from = cursor.keyword(['from'])
  const producer = from && (cursor.take('-') ? null : cursor.word('a node, or `-`'))
  const strategies = cursor.keyword(['by']) && cursor.words('a strategy')
  return {
    consumer,
    ...(tensor !== undefined && { tensor }),
    ...(producer !== undefined && { producer }),
    ...(strategies && { strategies }),
  }
}

function takeAfter(cursor: Cursor): (string | Earlier)[] {
  if (cursor.take('()')) return []
  const items: (string | Earlier)[] = []
  do {
    const item = cursor.word('an item')
    const distance = cursor.keyword(['earlier']) && cursor.whole('a distance in iterations or turns')
    const inTurns = distance !== undefined && cursor.keyword(['turns']) !== undefined
    items.push(distance === undefined ? item : { item, distance, ...(inTurns && { turns: true }) })
  } while (cursor.take(','))
  return items
}

function takeChoice(cursor: Cursor): { name: string | number; count: number }[] {
  const runs: { name: string | number; count: number }[] = []
  if (cursor.take('-')) return runs
  do {
    const name = cursor.take('#') ? cursor.whole('the number of a body') : cursor.word('the name of a body')
    cursor.expect('=', 'Write it like `select dense=3 moe=58`.')
    runs.push({ name, count: cursor.whole('iterations') })
  } while (!cursor.ends())
  return runs
}

/** One of a closed list of words. */
export function oneOf<Word extends string>(cursor: Cursor, words: readonly Word[], what: string): Word {
  const found = cursor.keyword(words)
  if (found !== undefined) return found
  throw cursor.error(`this is no ${what}`, `Use one of: ${words.join(', ')}.`)
}

function strings(cursor: Cursor): Record<string, string> {
  const from = cursor.copy()
  const pairs = Object.entries(cursor.pairs())
  return Object.fromEntries(
    pairs.map(([key, value]) => {
      if (typeof value === 'string') return [key, value]
      throw from.error(`\`${key}\` is not the name of a strategy`)
    }),
  )
}
