import { argumentError, type Program, regionsOf } from '@shardloom/core'
import type { RankMemory, Timeline } from '@shardloom/simulator'
import { captionOf } from '../caption.js'
import { cutMiddle, formatCount } from '../format.js'
import { drawMemory } from './memory.js'
import { memoryPanel } from './memory-chart.js'
import { checkSvgOptions, page, type SvgOptions } from './page.js'
import { simulationChart, type TimelineChartOptions, unitOf } from './simulation-chart.js'
import { drawTimeline } from './timeline.js'

/** How a simulated step is drawn. */
export interface TimelineSvgOptions extends SvgOptions, TimelineChartOptions {
  /** Pixels; default 1180, from 400 to 20,000. */
  readonly width?: number
}

/** How memory over time is drawn. */
export interface MemorySvgOptions extends SvgOptions {
  /** Bytes that a device has. */
  readonly limitBytes?: number
  /** Bytes of these that a step cannot have: for context, allocator and communication library. Default 0. */
  readonly reserveBytes?: number
  /** The ranks that are drawn, of those that were run. Default: up to four, those that hold most. */
  readonly ranks?: readonly number[]
  /** Pixels; default 1180, from 600 to 20,000. */
  readonly width?: number
}

/** Model, mesh and conventions of a program, in the words of its other pictures. */
function subtitleOf(program: Program, ...facts: readonly string[]): string {
  const { subtitle } = captionOf(program, {
    level: 'operator',
    ranks: undefined,
    rank: 0,
    where: undefined,
    unframed: [],
    summed: false,
  })
  return [...facts, subtitle].join(' · ')
}

/**
 * Draws a simulated step as SVG: a row for each rank that was run and each of its streams, as long as they can be read, on one axis of
 * time. Slices are operators, layers or the actions of a schedule, whatever is fine and still has room; thinner ones merge into a
 * strip of the kind that fills most. Idle time is hatched; a critical path runs under the slices.
 */
export function timelineSvg(timeline: Timeline, program: Program, options: TimelineSvgOptions = {}): string {
  if (!timeline?.graph || !timeline.times)
    throw argumentError('first', timeline, 'a timeline', 'Give what `simulate` returns.')
  checkSvgOptions(options, { ranks: 'number[]', critical: 'boolean', width: 'number' })
  const { ranks, critical, width = 1180, ...rest } = options
  const chart = simulationChart(timeline, program, {
    ...(ranks && { ranks }),
    ...(critical !== undefined && { critical }),
  })
  const whole = {
    ...chart,
    title: `${program.phase} · timeline`,
    subtitle: subtitleOf(program, lengthOf(timeline, program)),
  }
  const drawing = drawTimeline(whole, clamp(width, 400))
  return page({ ...drawing, alt: `${whole.title}, ${whole.subtitle}. ${chart.alt}` }, rest)
}

/** How long a step takes, in words, or several steps of decode. */
function lengthOf({ seconds }: Timeline, { items }: Program): string {
  const [unit, perUnit] = unitOf(seconds)
  const steps = regionsOf(items).find(({ axis }) => axis === 'decode_step')?.extent ?? 1
  return `${Number((seconds * perUnit).toPrecision(3))}\u00a0${unit} ${steps > 1 ? `for ${formatCount(steps)} steps` : 'per step'}`
}

/** A simulated step with a name, among others. */
export interface NamedTimeline {
  readonly name: string
  readonly timeline: Timeline
  readonly program: Program
}

/** Characters of what stands beside the name of a step. */
const longestFact = 150

/**
 * Draws simulated steps above each other on one axis of time, each like {@link timelineSvg} with its name, and beside it in what it
 * differs from the others.
 */
export function timelinesSvg(steps: readonly NamedTimeline[], options: Omit<TimelineSvgOptions, 'ranks'> = {}): string {
  const [first] = steps
  if (!first) throw argumentError('first', steps, 'simulated steps', 'Give at least one.')
  checkSvgOptions(options, { critical: 'boolean', width: 'number' })
  const { critical = true, width = 1180, ...rest } = options
  const longest = Math.max(...steps.map(({ timeline }) => timeline.seconds))
  const charts = steps.map(({ timeline, program }) => simulationChart(timeline, program, { critical }, longest))
  const facts = steps.map(({ program }) => subtitleOf(program).split(' · '))
  const shared = facts[0]?.filter((fact) => facts.every((each) => each.includes(fact))) ?? []
  const panels = steps.flatMap(({ name, timeline, program }, at) => {
    const own = facts[at]?.filter((each) => !shared.includes(each)) ?? []
    const fact = cutMiddle([lengthOf(timeline, program), ...own].join(' · '), longestFact)
    return (charts[at]?.panels ?? []).map((panel) => ({ ...panel, name: cutMiddle(name, 40), fact }))
  })
  const notices = [...new Set(charts.flatMap(({ notice }) => notice ?? []))]
  const whole = {
    title: `${first.program.phase} · timelines`,
    subtitle: [`${formatCount(steps.length)} steps`, ...shared].join(' · '),
    panels,
    unit: unitOf(longest)[0],
    notes: [...new Set(charts.flatMap(({ notes = [] }) => notes))],
    alt: `${steps.map(({ name }, at) => `${name}: ${charts[at]?.alt}`).join(' ')}`,
    ...(notices.length > 0 && { notice: notices.join(' · ') }),
  }
  return page(drawTimeline(whole, clamp(width, 400)), rest)
}

/** Ranks whose memory is drawn unless others are asked for. */
const mostPanels = 4

/**
 * Draws the memory of a step as SVG: steps of each part on top of each other, what the device has for it as a line, what exceeds it
 * hatched, and at the peak a list of what is alive. `seconds` is the length of the step.
 */
export function memorySvg(
  memory: readonly RankMemory[],
  program: Program,
  seconds: number,
  options: MemorySvgOptions = {},
): string {
  if (!Array.isArray(memory) || memory.length === 0)
    throw argumentError('first', memory, 'the memory of some ranks', 'Give what `memory` returns.')
  checkSvgOptions(options, { limitBytes: 'number', reserveBytes: 'number', ranks: 'number[]', width: 'number' })
  const { limitBytes, reserveBytes = 0, ranks, width = 1180, ...rest } = options
  const chosen = ranks
    ? memory.filter(({ rank }) => ranks.includes(rank))
    : [...memory].sort((a, b) => b.peakBytes - a.peakBytes || a.rank - b.rank).slice(0, mostPanels)
  const shown = [...chosen].sort((a, b) => a.rank - b.rank)
  const left = memory.length - shown.length
  const chart = {
    title: `${program.phase} · memory`,
    subtitle: subtitleOf(program),
    panels: shown.map((each) => memoryPanel(each, program, seconds)),
    ...(limitBytes !== undefined && { limit: limitBytes - reserveBytes, reserve: reserveBytes }),
    ...(left > 0 && { notice: `${shown.length} of ${formatCount(memory.length)} ranks shown, those that hold most` }),
  }
  return page(drawMemory(chart, clamp(width, 600)), rest)
}

const clamp = (width: number, least: number) => Math.min(20_000, Math.max(least, Math.floor(width)))
