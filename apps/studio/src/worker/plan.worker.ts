import {
  type Compared,
  checkSpec,
  createView,
  errorNaming,
  explain,
  hybrids,
  knownClusters,
  planServingLoaded,
  presetModels,
  servingEngineNames,
  specFields,
  specText,
  stepFigures,
  summarise,
  verifyPlan,
} from 'shardloom'
import { resolveScheduleName, scheduleNames } from 'shardloom/schedules'
import { memorySvg, paretoSvg, timelineSvg, timelinesSvg } from 'shardloom/svg'
import { compareVariants } from '../compare/data.js'
import { findNodes, foldView, mostNodes } from '../graph/fold.js'
import { findInStages, foldStages, rankOfStage } from '../graph/fold-stages.js'
import { placeSingleCards } from '../graph/single-cards.js'
import type { Measured } from '../learn/lesson.js'
import { memoryOfSimulation } from '../memory/data.js'
import { timelineOfSimulation } from '../timeline/data.js'
import { type Known, type KnownSpec, knownOf, knownSpec } from './cached.js'
import { choicesOf } from './choices.js'
import { inspect, rowsOf } from './inspect.js'
import type { Found, GraphRequest, GraphView, Jobs, Planned } from './protocol.js'
import { scheduledStep } from './schedules.js'
import { serve } from './serve.js'

serve({
  arrange: ({ view, room }) => placeSingleCards(view, room),
  catalogue: () => ({
    models: presetModels(),
    clusters: knownClusters().clusters,
    fields: specFields(),
    schedules: scheduleNames(),
    servingEngines: servingEngineNames(),
    presets: Object.entries(hybrids).map(([name, { title, spec }]) => ({
      name,
      title,
      text: specText(checkSpec(spec)),
    })),
  }),
  plan: async (source) => plannedOf(await knownSpec(source.text), await knownOf(source)),
  graph: async (request) => graphOf(await knownOf(request), request),
  find: async ({ words, ...request }) => findIn(await knownOf(request), request, words),
  explain: async ({ node, rank, ...source }) =>
    explain((await knownOf(source)).plan, node, rank === undefined ? {} : { rank }),
  inspect: async ({ id, ...source }) => inspect(await knownOf(source), id),
  simulate: async (source) => stepFigures((await knownOf(source)).simulation),
  measure: async ({ texts }) => {
    const measured: Measured[] = []
    for (const text of texts) {
      const known = (await knownSpec(text)).of('prefill')
      measured.push({ figures: stepFigures(known.simulation), summary: summarise(known.plan) })
    }
    return measured
  },
  choices: ({ text, path }) => choicesOf(text, path),
  picture: async ({ picture, theme }) => {
    if (picture.view === 'search') return paretoSvg(picture.front, { theme })
    if (picture.view === 'compare') return timelinesSvg(await simulatedVariants(picture), { theme })
    const { simulation } = await knownOf(picture)
    return picture.view === 'timeline' ? timelineSvg(simulation, { theme }) : memorySvg(simulation, { theme })
  },
  timeline: async (source) => timelineOfSimulation((await knownOf(source)).simulation, ''),
  schedule: ({ name, ...source }) => scheduledStep(source, name),
  memory: async (source) => memoryOfSimulation((await knownOf(source)).simulation, ''),
  compare: async (request) => compareVariants(await simulatedVariants(request)),
})

/** A step of each variant. What one of them is refused for names it. */
async function simulatedVariants({ variants, pool }: Jobs['compare']['request']): Promise<Compared[]> {
  const list: Compared[] = []
  for (const { name, text } of variants)
    try {
      list.push({ name, simulation: (await knownOf({ text, pool })).simulation })
    } catch (error) {
      throw errorNaming(name, error)
    }
  return list
}

function plannedOf({ loaded, plans }: KnownSpec, known: Known): Planned {
  const { spec } = loaded
  const verifications =
    loaded.spec.phase === 'serving' ? [verifyPlan(planServingLoaded(loaded))] : plans.map(verifyPlan)
  const values: Record<string, string | number | boolean> = {}
  for (const { path } of specFields()) {
    let value: unknown = spec
    for (const key of path) value = (value as Readonly<Record<string, unknown>> | undefined)?.[key] // a field of the schema
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
      values[path.join('.')] = value
  }
  const schedule = resolveScheduleName(String(values['options.schedule']))
  if (schedule !== undefined) values['options.schedule'] = schedule
  return {
    summary: summarise(known.plan),
    ok: verifications.every(({ ok }) => ok),
    rules: verifications.reduce((sum, { rules }) => sum + rules.length, 0),
    violations: verifications.flatMap(({ rules }) => rules.flatMap(({ violations }) => violations)),
    warnings: [...new Set(plans.flatMap(({ warnings }) => warnings))],
    values,
  }
}

/** Where names are found: inside the cards that the level draws once nothing is unrolled. */
function findIn(known: Known, { level, toggled }: GraphRequest, words: string): Found[] {
  const { program, operators } = known.plan
  if (level !== 'stage') return findNodes(known.views, level, new Set(toggled), words)
  if (!program.pipeline) return findNodes(known.views, 'phase', new Set(toggled), words)
  const view = createView(program, operators, { level, limit })
  return findInStages(view, (stage) => known.viewsOf(rankOfStage(program, stage)), toggled, words)
}

/** As many nodes as one draws at once, and edges between them. */
const limit = { nodes: mostNodes, edges: 4 * mostNodes }

/** What is drawn iteration by iteration or rank by rank comes as one picture; all else opens and closes. */
function graphOf(known: Known, { level, toggled, unroll, rank: asked }: GraphRequest): GraphView {
  if (level !== 'stage' && unroll.length === 0 && asked === undefined)
    return foldView(known.views, level, new Set(toggled))
  const { program, operators } = known.plan
  // Of a mesh that has become smaller the last rank stands in for one that is gone.
  const rank = asked === undefined ? undefined : Math.min(asked, program.mesh.world - 1)
  const view = createView(program, operators, {
    level,
    unroll,
    limit,
    ...(rank !== undefined && { rank }),
  })
  if (level !== 'stage' || unroll.length > 0) return { ...view, expandable: [], closes: {}, ports: [] }
  if (!program.pipeline) return foldView(known.views, 'phase', new Set(toggled))
  const rankOf = (stage: number) => rankOfStage(program, stage)
  return foldStages(
    view,
    (stage) => known.viewsOf(rankOf(stage)),
    toggled,
    (stage) =>
      rowsOf(known, rankOf(stage)).flatMap(({ id, operator, phase }) =>
        operator === 'send' || operator === 'recv' ? [{ op: operator, phase, node: id }] : [],
      ),
  )
}
