import fc from 'fast-check'
import { createView, loadSpec, type Plan, planLoaded, type SpecInput } from 'shardloom'
import { beforeAll, describe, expect, test } from 'vitest'
import { type FoldableLevel, type FoldableViews, findNodes, foldView } from '../src/graph/fold.js'
import { findInStages, foldStages, rankOfStage } from '../src/graph/fold-stages.js'
import type { GraphView } from '../src/worker/protocol.js'

const specs: Readonly<Record<string, SpecInput>> = {
  training: { model: 'llama-3.1-8b', cluster: 'dgx-h100', batch: 8, seq: 2048, parallel: { tp: 4, dp: 2 } },
  decode: { model: 'llama-3.1-8b', cluster: 'dgx-h100', phase: 'decode', batch: 8, seq: 2048, parallel: { tp: 2 } },
}
const levels: readonly FoldableLevel[] = ['phase', 'layer', 'module', 'operator']

function viewsOf({ program, operators }: Plan, rank?: number): FoldableViews {
  const limit = { nodes: Number.POSITIVE_INFINITY, edges: Number.POSITIVE_INFINITY }
  const at = (level: FoldableLevel) =>
    createView(program, operators, { level, limit, ...(rank !== undefined && { rank }) })
  return { phase: at('phase'), layer: at('layer'), module: at('module'), operator: at('operator') }
}

/** The cards that may stand for an operator: those called as a part of its path, or as a frame around it. */
function holdersOf({ operator }: FoldableViews): Map<string, ReadonlySet<string>> {
  const parents = new Map(operator.clusters.map(({ id, parent }) => [id, parent]))
  const known = new Set(operator.nodes.map(({ id }) => id))
  return new Map(
    operator.nodes.map(({ id, cluster }) => {
      const parts = id.split('/').map((_, at, all) => all.slice(0, at + 1).join('/'))
      for (let at = cluster; at !== undefined; at = parents.get(at)) parts.push(at.split(' ').at(-1) ?? at)
      // An operator may be called as the one before it and what follows: `down`, `down/all-reduce(tp)`.
      return [id, new Set(parts.filter((part) => part === id || !known.has(part)))]
    }),
  )
}

/** Every operator is seen once: as itself, or inside of one card; and edges join what is seen. */
function expectWhole(view: GraphView, operators: ReadonlyMap<string, ReadonlySet<string>>, prefix = '') {
  const shown = view.nodes.map(({ id }) => id)
  expect(new Set(shown).size).toBe(shown.length)
  const own = shown.flatMap((id) => (id.startsWith(prefix) ? [id.slice(prefix.length)] : []))
  for (const [id, holders] of operators)
    expect(
      own.filter((card) => holders.has(card)),
      id,
    ).toHaveLength(1)
  for (const { from, to } of view.edges) {
    expect(shown).toContain(from)
    expect(shown).toContain(to)
    expect(from).not.toBe(to)
  }
  const clusters = new Set(view.clusters.map(({ id }) => id))
  for (const { cluster } of [...view.nodes, ...view.clusters.map(({ parent }) => ({ cluster: parent }))])
    if (cluster !== undefined) expect(clusters).toContain(cluster)
}

describe.each(Object.entries(specs))('%s', (_, spec) => {
  let views: FoldableViews
  beforeAll(async () => {
    views = viewsOf(planLoaded(await loadSpec(spec)))
  })

  test.each(levels)('nothing toggled is the %s level itself', (level) => {
    const { nodes, edges } = foldView(views, level, new Set())
    expect([nodes, edges]).toEqual([views[level].nodes, views[level].edges])
  })

  test('whatever is opened and closed, every operator is seen once', () => {
    const operators = holdersOf(views)
    const cards = [...views.phase.nodes, ...views.layer.nodes, ...views.module.nodes].map(({ id }) => id)
    fc.assert(
      fc.property(fc.constantFrom(...levels), fc.subarray(cards, { maxLength: 5 }), (level, toggled) => {
        expectWhole(foldView(views, level, new Set(toggled)), operators)
      }),
      { numRuns: 30 },
    )
  })

  test('what is found is seen once its cards are toggled', () => {
    for (const level of levels)
      for (const { id, toggled } of findNodes(views, level, new Set(), 'attention', 5))
        expect(foldView(views, level, new Set(toggled)).nodes.map((node) => node.id)).toContain(id)
  })
})

describe('stages', () => {
  const pipeline: SpecInput = {
    model: 'llama-3.1-8b',
    cluster: 'dgx-h100',
    batch: 16,
    microbatch: 1,
    seq: 2048,
    parallel: { pp: 4, tp: 2 },
  }
  let plan: Plan
  beforeAll(async () => {
    plan = planLoaded(await loadSpec(pipeline))
  })

  test('the rank of a stage has its coordinate of the pipeline, and 0 on all other axes', () => {
    const { program, operators } = plan
    for (let stage = 0; stage < 4; stage++) {
      const rank = rankOfStage(program, stage)
      const { clusters } = createView(program, operators, { level: 'phase', unroll: ['rank'], ranks: [rank, rank] })
      expect(clusters[0]?.title).toBe(`rank ${rank} · pp ${stage} · tp 0`)
    }
  })

  test('an opened card holds what the rank of its stage runs, and ports lead to the neighbours', () => {
    const { program, operators } = plan
    const view = createView(program, operators, { level: 'stage' })
    const own = new Map<number, FoldableViews>()
    const ofStage = (stage: number) => {
      const views = own.get(stage) ?? viewsOf(plan, rankOfStage(program, stage))
      own.set(stage, views)
      return views
    }
    const transfers = (stage: number) =>
      ofStage(stage).operator.nodes.flatMap(({ id, title }) => {
        const [op = ''] = title.split(' · ')
        return op === 'send' || op === 'recv' ? [{ op, phase: id.split('/')[0] ?? '', node: id }] : []
      })
    const cards = ['stage 1/forward', 'stage 1/forward/layer', 'stage 1/backward', 'stage 2/forward']
    fc.assert(
      fc.property(fc.subarray(cards), (toggled) => {
        const folded = foldStages(view, ofStage, toggled, transfers)
        for (let stage = 0; stage < 4; stage++) {
          const part = { ...folded, nodes: folded.nodes.filter(({ id }) => !folded.ports.includes(id)) }
          expectWhole({ ...part, edges: [] }, holdersOf(ofStage(stage)), `stage ${stage}/`)
        }
        const sends = folded.edges.filter(({ kind }) => kind === 'communication')
        expect(sends.length).toBeGreaterThanOrEqual(2 * 3)
        const shown = new Set(folded.nodes.map(({ id }) => id))
        for (const { from, to } of folded.edges)
          expect([shown.has(from), shown.has(to)], `${from} ${to}`).toEqual([true, true])
      }),
      { numRuns: 12 },
    )
  })

  test('what is found is seen in its stage once its cards are opened', () => {
    const { program, operators } = plan
    const view = createView(program, operators, { level: 'stage' })
    const views = [0, 1, 2, 3].map((stage) => viewsOf(plan, rankOfStage(program, stage)))
    const ofStage = (stage: number) => views[stage] as FoldableViews // one for each
    const found = findInStages(view, ofStage, ['stage 2/backward'], 'attention')
    const stages = new Set(found.map(({ id }) => id.split('/')[0]))
    expect([...stages]).toEqual(['stage 0', 'stage 1', 'stage 2', 'stage 3'])
    for (const { id, toggled } of found.filter((_, at) => at % 5 === 0)) {
      expect(toggled).toContain('stage 2/backward')
      expect(foldStages(view, ofStage, toggled, () => []).nodes.map((node) => node.id)).toContain(id)
    }
  })
})
