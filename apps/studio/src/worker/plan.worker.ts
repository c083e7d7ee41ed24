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
  specFields,
  specText,
  stepFigures,
  summarise,
  verifyPlan,
} from 'shardloom'
import { scheduleNames } from 'shardloom/schedules'
import { memorySvg, timelineSvg } from 'shardloom/svg'
import { compareVariants } from '../compare/data.js'
import { findNodes, foldView, mostNodes } from '../graph/fold.js'
import { foldStages, rankOfStage } from '../graph/fold-stages.js'
import { memoryOfSimulation } from '../memory/data.js'
import { timelineOfSimulation } from '../timeline/data.js'
import { type Known, knownOf } from './cached.js'
import { choicesOf } from './choices.js'
import { inspect, rowsOf } from './inspect.js'
import type { GraphRequest, GraphView, Jobs, Planned } from './protocol.js'
import { scheduledStep } from './schedules.js'
import { serve } from './serve.js'

serve({
  catalogue: () => ({
    models: presetModels(),
    clusters: knownClusters().clusters,
    fields: specFields(),
    schedules: scheduleNames(),
    presets: Object.entries(hybrids).map(([name, { title, spec }]) => ({
      name,
      title,
      text: specText(checkSpec(spec)),
    })),
  }),
  plan: async ({ text }) => plannedOf(await knownOf(text)),
  graph: async (request) => graphOf(await knownOf(request.text), request),
  find: async ({ text, words, level, toggled }) =>
    findNodes((await knownOf(text)).views, level === 'stage' ? 'operator' : level, new Set(toggled), words),
  explain: async ({ text, node, rank }) =>
    explain((await knownOf(text)).plan, node, rank === undefined ? {} : { rank }),
  inspect: async ({ text, id }) => inspect(await knownOf(text), id),
  simulate: async ({ text }) => stepFigures((await knownOf(text)).simulation),
  choices: ({ text, path }) => choicesOf(text, path),
  picture: async ({ text, view, theme }) => {
    const { simulation } = await knownOf(text)
    return view === 'timeline' ? timelineSvg(simulation, { theme }) : memorySvg(simulation, { theme })
  },
  timeline: async ({ text }) => timelineOfSimulation((await knownOf(text)).simulation, ''),
  schedule: ({ text, name }) => scheduledStep(text, name),
  memory: async ({ text }) => memoryOfSimulation((await knownOf(text)).simulation, ''),
  compare: async ({ variants }) => compareVariants(await simulatedVariants(variants)),
})

/** A step of each variant. What one of them is refused for names it. */
async function simulatedVariants(variants: Jobs['compare']['request']['variants']): Promise<Compared[]> {
  const list: Compared[] = []
  for (const { name, text } of variants)
    try {
      list.push({ name, simulation: (await knownOf(text)).simulation })
    } catch (error) {
      throw errorNaming(name, error)
    }
  return list
}

function plannedOf(known: Known): Planned {
  const { loaded, plans } = known
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
  return {
    summary: summarise(known.plan),
    ok: verifications.every(({ ok }) => ok),
    rules: verifications.reduce((sum, { rules }) => sum + rules.length, 0),
    violations: verifications.flatMap(({ rules }) => rules.flatMap(({ violations }) => violations)),
    warnings: [...new Set(plans.flatMap(({ warnings }) => warnings))],
    values,
  }
}

/** What is drawn iteration by iteration or rank by rank comes as one picture; all else opens and closes. */
function graphOf(known: Known, { level, toggled, unroll, rank }: GraphRequest): GraphView {
  if (level !== 'stage' && unroll.length === 0 && rank === undefined)
    return foldView(known.views, level, new Set(toggled))
  const { program, operators } = known.plan
  const view = createView(program, operators, {
    level,
    unroll,
    limit: { nodes: mostNodes, edges: 4 * mostNodes },
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
