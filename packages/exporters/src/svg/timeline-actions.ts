import { actionsOf, coordinateOf, type OperatorNode, type Program, regionsOf } from '@shardloom/core'
import { scheduledPlaces, slotsOf } from '@shardloom/core/unroll'
import type { Timeline } from '@shardloom/simulator'
import type { Key } from './timeline-rows.js'

/**
 * Which action of its rank's schedule runs each node, such as `B3`; without a schedule, which part of which microbatch. Those of an
 * overlapped pair belong together.
 */
export function actionsByNode(program: Program, { graph, ranks }: Timeline): Key {
  const { pipeline } = program
  const templateOf = (node: number) => graph.templates[graph.template[node] ?? 0] as OperatorNode // every node has one
  const microbatches = regionsOf(program.items).find(({ axis }) => axis === 'microbatch')?.extent ?? 1
  const schedules = new Map(
    ranks.map((rank) => {
      const coordinate = coordinateOf(program, rank)
      const actions = pipeline ? actionsOf(pipeline, coordinate) : []
      const held = pipeline ? pipeline.chunks.flatMap(({ rank: at }, chunk) => (at === coordinate ? [chunk] : [])) : []
      const places = pipeline && actions.length > 0 ? scheduledPlaces(pipeline, coordinate, microbatches) : undefined
      const slots = pipeline ? slotsOf(pipeline, coordinate) : new Int32Array(0)
      return [rank, { actions, held, places, slots }]
    }),
  )
  return (node) => {
    const template = templateOf(node)
    const at = graph.iterationsOf(node)
    const outer = at.find(({ axis }) => axis !== 'layer' && axis !== 'expert')
    const { actions = [], held = [], places, slots } = schedules.get(graph.rankOf(node)) ?? {}
    if (places && outer?.axis === 'microbatch') {
      const iteration = at.find(({ axis }) => axis === pipeline?.over)?.iteration
      const index = places.positionOf(template, iteration, outer.iteration)
      const action = actions[index]
      if (action) {
        const chunk = held.indexOf(action.chunk)
        const suffix = chunk <= 0 ? '' : chunk < 26 ? String.fromCharCode(97 + chunk) : `.${chunk}`
        const half = slots && index > 0 && slots[index] === slots[index - 1] ? 1 : 0
        return { id: `action ${slots?.[index]}`, label: `${action.kind}${action.microbatch}${suffix}`, half }
      }
    }
    const number = outer ? outer.iteration : undefined
    const letter = template.segment === 'backward' ? 'B' : template.segment === 'forward' ? 'F' : ''
    const label = number === undefined ? template.segment : `${letter}${number}`
    const step = at.find((each) => each !== outer && each.axis === 'decode_step')?.iteration
    return { id: `${template.segment} ${outer?.axis ?? ''} ${number ?? ''} ${step ?? ''}`, label }
  }
}
