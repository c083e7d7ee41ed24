import {
  checkProgram,
  closePorts,
  createMesh,
  type Earlier,
  type Json,
  type OperatorNode,
  type Port,
  type Preference,
  type Program,
  type Region,
  regionsOf,
  type Selector,
  type Tensor,
} from '@shardloom/core'
import { type Known, knownOf, madeBy, type NodeGuess, settle, tryRule } from './text-defaults.js'
import { layoutText } from './text-layout.js'
import { operatorText, pairsText, wordsText, wordText } from './text-line.js'
import { atomsText, meshText, partitionWords, placementWords, sameValue, usualBy } from './text-placement.js'
import { tensorText } from './text-tensor.js'

/**
 * Writes a program as text for people: a line per node, the bodies of regions indented, and nothing that follows from the
 * rest. Lossless: `parseProgram` reads the same program from it. Its grammar stands at `parseProgram`. O(size of the program).
 */
export function printProgram(program: Program): string {
  checkProgram(program)
  return new Printer(program).text()
}

class Printer {
  private readonly known: Known
  /** What must be said of each tensor, by id; taken out once it is said. */
  private readonly tensors = new Map<string, string>()
  private outside: string[] = []
  private readonly nodes = new Map<OperatorNode, string>()
  private readonly ports = new Map<Region, boolean>()
  private readonly order: readonly string[]

  constructor(private readonly program: Program) {
    this.known = knownOf(program)
    const made = madeBy(program.items)
    const outside = [...program.tensors.keys()].filter((id) => !made.has(id))
    const declared = new Set(outside)
    const settled = settle<OperatorNode>(program.items, this.known, {
      outside,
      tensor: (id, guess) => {
        const tensor = program.tensors.get(id)
        if (tensor) this.tensors.set(id, tensorText(tensor, guess, this.known))
        else this.tensors.set(id, 'missing')
        if (!declared.has(id) && !made.has(id)) this.outside.push(id)
        return tensor
      },
      node: (node) => node,
      finish: (node, guess, tensor) => this.nodes.set(node, this.clauses(node, guess, tensor)),
    })
    this.outside = [...outside, ...this.outside]
    this.order = [...settled.keys()]
    const closed = regionsOf(closePorts(program.items, program.tensors))
    regionsOf(program.items).forEach((region, index) => {
      this.ports.set(region, !sameValue(region.ports, closed[index]?.ports))
    })
  }

  text(): string {
    const blocks = [this.head(), this.outsideLines(), this.items(this.program.items, ''), this.orderLine()]
    return blocks
      .filter((lines) => lines.length)
      .map((lines) => `${lines.join('\n')}\n`)
      .join('\n')
  }

  private head(): string[] {
    const { name, phase, uneven, mesh, pipeline, loads, notes, preferences, layouts = [] } = this.program
    const { dtype, sizes } = this.known
    const lines: string[] = []
    if (name !== 'program' || phase !== 'training') lines.push(`program ${wordText(name)} ${phase}`)
    if (uneven !== 'refuse') lines.push(`uneven ${uneven}`)
    if (!sameValue(mesh, createMesh())) lines.push(`mesh ${meshText(mesh)}`)
    if (dtype !== 'bf16') lines.push(`dtype ${dtype}`)
    if (sizes.size) lines.push(`sizes ${[...sizes].map(([dim, size]) => `${wordText(dim)}=${size}`).join(' ')}`)
    if (pipeline) {
      const chunks = pipeline.chunks.map((chunk) => ({ ...chunk }))
      lines.push(`pipeline ${pairsText({ ...pipeline, chunks })}`)
    }
    if (loads) lines.push(`loads ${pairsText(loads)}`)
    if (Object.keys(notes).length) lines.push(`notes ${pairsText(notes)}`)
    for (const layout of layouts) lines.push(`layout ${layoutText(layout)}`)
    return [...lines, ...preferences.map((preference) => this.preference(preference))]
  }

  private preference({ dims, class: kind, axis, atoms, strategy, where, together, innermost }: Preference): string {
    const clauses = [`prefer [${dims.map(wordText).join(' ')}] ${kind} over ${wordText(axis)}`]
    if (atoms) clauses.push(`atoms ${atomsText(atoms, this.program.mesh)}`)
    if (strategy !== axis) clauses.push(`by ${wordText(strategy)}`)
    if (together) clauses.push('together')
    if (innermost) clauses.push('innermost')
    if (where) clauses.push(`where ${pairsText(selectorJson(where))}`)
    return clauses.join(' ; ')
  }

  private outsideLines(): string[] {
    const lines = this.outside.map((id) => `  ${wordText(id)} : ${this.say(id)}`.trimEnd())
    return lines.length ? ['outside', ...lines] : []
  }

  private orderLine(): string[] {
    const places = new Map(this.order.map((id, index) => [id, index]))
    const actual = [...this.program.tensors.keys()].map((id) => places.get(id) ?? -1)
    const runs: [number, number][] = []
    for (const place of actual) {
      const run = runs.at(-1)
      if (run && run[1] + 1 === place) run[1] = place
      else runs.push([place, place])
    }
    const words = runs.map(([first, last]) => (first === last ? first : `${first}-${last}`))
    return runs.length < 2 ? [] : [`order ${words.join(' ')}`]
  }

  private items(items: Program['items'], indent: string): string[] {
    return items.flatMap((item) => {
      if (item.type === 'region') return this.region(item, indent)
      const outputs = item.outputs.map(wordText).join(', ')
      const head = `${indent}${outputs ? `${outputs} ` : ''}= ${operatorText(item.op)}(${item.inputs.map(wordText).join(', ')})`
      const results = item.outputs.flatMap((id, index) => {
        const said = this.say(id)
        if (!said) return []
        return index === 0 && said.startsWith('@') ? [said] : [`result ${index ? `${index} ` : ''}${said}`]
      })
      return [[`${head}${this.nodes.get(item)}`, ...results].join(' ; ')]
    })
  }

  private region(region: Region, indent: string): string[] {
    const { id, axis, extent, order, bodies, select, ports } = region
    const lines: string[] = []
    const words = [`repeat ${wordText(id)} over ${wordText(axis)}=${extent}`]
    if (order !== 'forward') words.push(order)
    if (bodies.length !== 1 || !sameValue(select, [{ body: 0, count: extent }])) {
      const names = bodies.map(({ name }) => name)
      const nameOf = (body: number) => {
        const name = names[body]
        return name === undefined || names.indexOf(name) !== names.lastIndexOf(name) ? `#${body}` : wordText(name)
      }
      words.push(`select ${select.map(({ body, count }) => `${nameOf(body)}=${count}`).join(' ') || '-'}`)
    }
    lines.push(`${indent}${words.join(' ')}`)
    const inner = `${indent}  `
    const listed = this.ports.get(region)
    if (listed) lines.push(`${inner}ports as listed`)
    for (const port of ports)
      if (listed || port.kind === 'carry' || port.kind === 'reduce') lines.push(`${inner}${this.port(port)}`)
    if (bodies.length === 0) lines.push(`${inner}no bodies`)
    const [only] = bodies
    if (only && bodies.length === 1 && only.name === axis) return [...lines, ...this.items(only.items, inner)]
    const deeper = `${inner}  `
    return [
      ...lines,
      ...bodies.flatMap(({ name, items }) => [`${inner}body ${wordText(name)}`, ...this.items(items, deeper)]),
    ]
  }

  private port(port: Port): string {
    switch (port.kind) {
      case 'each':
      case 'const':
        return `${port.kind} ${wordText(port.tensor)}`
      case 'carry': {
        const { inner, initial, next, result } = port
        const text = `carry ${wordText(inner)} from ${wordText(initial)} next ${wordsText(next)} to ${wordText(result)}`
        return [text, ...this.said('inner', inner), ...this.said('result', result)].join(' ; ')
      }
      case 'reduce': {
        const inner = port.inner.map((id) => (id === null ? '-' : wordText(id))).join(', ') || '()'
        return [`reduce ${inner} to ${wordText(port.result)}`, ...this.said('result', port.result)].join(' ; ')
      }
    }
  }

  private said(what: string, id: string): string[] {
    const text = this.say(id)
    return text ? [`${what} ${text}`] : []
  }

  /** What must be said of a tensor, the first time that it is asked for. */
  private say(id: string): string {
    const text = this.tensors.get(id) ?? ''
    this.tensors.delete(id)
    return text
  }

  /** The rule and the clauses of a node, where they do not follow. */
  private clauses(node: OperatorNode, guess: NodeGuess, tensor: (id: string) => Tensor | undefined): string {
    const { mesh } = this.program
    const clauses: string[] = []
    const add = (name: string, value: string | undefined) => {
      if (value !== undefined) clauses.push(`${name} ${value}`)
    }
    const word = (name: string, value: string | undefined, usual?: string) =>
      add(name, value === undefined || value === usual ? undefined : wordText(value))
    word('id', node.id, node.outputs[0])
    word('kind', node.kind, guess.kind)
    word('segment', node.segment, guess.segment)
    word('module', node.module, guess.module)
    add('with', node.attributes && pairsText(node.attributes))
    add('density', node.density?.join('/'))
    word('fusion', node.fusion)
    word('differentiates', node.differentiates)
    if (node.recompute) clauses.push('recompute')
    word('updates', node.updates)
    add('stages', node.stages && wordsText(node.stages))
    word('gradient', node.gradient)
    add('after', node.after && (node.after.map(afterText).join(', ') || '()'))
    add('barrier', node.barrier && atomsText(node.barrier, mesh))
    if (node.partition) {
      add('split', partitionWords(node.partition, mesh))
      if (!sameValue(node.partition.by, usualBy(node.partition, mesh))) add('by', pairsText(node.partition.by))
    }
    if (node.communication) clauses.push(...this.communication(node, node.communication, guess, tensor))
    const { rule } = node
    const parsed = tryRule(rule)
    const fits = parsed?.operands.length === node.inputs.length && parsed.results.length === node.outputs.length
    const plain = fits && rule === rule.trim() && !/[\r\n]/.test(rule)
    const follows = node.communication !== undefined && rule === guess.rule
    return [follows ? '' : ` : ${plain ? rule : JSON.stringify(rule)}`, ...clauses].join(' ; ')
  }

  private communication(
    node: OperatorNode,
    { atoms, reduction, shift, from, to, reason }: NonNullable<OperatorNode['communication']>,
    { rest }: NodeGuess,
    tensor: (id: string) => Tensor | undefined,
  ): string[] {
    const { mesh } = this.program
    const [input, output] = [tensor(node.inputs[0] ?? ''), tensor(node.outputs[0] ?? '')]
    const over = [`over ${atomsText(atoms, mesh)}`]
    if (reduction) over.push(reduction)
    if (shift !== undefined) over.push(`shift ${shift}`)
    const clauses = [over.join(' ')]
    if (!sameValue(from, input?.placement)) clauses.push(`from ${placementWords(from, input?.dims ?? [], mesh)}`)
    if (!sameValue(to, output?.placement)) clauses.push(`to ${placementWords(to, output?.dims ?? [], mesh)}`)
    const why = [`for ${wordText(reason.consumer)}`]
    if (reason.tensor !== rest.source) why.push(`of ${wordText(reason.tensor)}`)
    if (reason.producer !== rest.producer)
      why.push(`from ${reason.producer === null ? '-' : wordText(reason.producer)}`)
    if (reason.strategies.length) why.push(`by ${wordsText(reason.strategies)}`)
    return [...clauses, why.join(' ')]
  }
}

function afterText(before: string | Earlier): string {
  if (typeof before === 'string') return wordText(before)
  return `${wordText(before.item)} earlier ${before.distance}${before.turns ? ' turns' : ''}`
}

function selectorJson({ except, and, ...fields }: Selector): Readonly<Record<string, Json>> {
  return { ...fields, ...(except && { except: { ...except } }), ...(and && { and: selectorJson(and) }) }
}
