import type {
  Explanation,
  Level,
  ModelSummary,
  PlanSummary,
  ServingSimulationSummary,
  SpecField,
  StepFigures,
  UnrollAxis,
  View,
  Violation,
} from 'shardloom'
import type { ParetoPicture } from 'shardloom/svg'
import type { CompareData } from '../compare/data.js'
import type { Placed, Room } from '../graph/placed.js'
import type { Measured } from '../learn/lesson.js'
import type { MemoryData } from '../memory/data.js'
import type { SearchJobs } from '../search/jobs.js'
import type { Pool } from '../state/studio-state.js'
import type { TimelineData } from '../timeline/data.js'

/** An error as plain data: what was tried, on what, why not, and what would work. */
export interface Failure {
  readonly code: string
  readonly message: string
  /** The field, node or file that it is about. */
  readonly subject?: string
  readonly help?: string
}

/** What the set-up offers: names that a spec may give. */
export interface Catalogue {
  readonly models: readonly ModelSummary[]
  readonly clusters: readonly string[]
  readonly fields: readonly SpecField[]
  readonly schedules: readonly string[]
  readonly servingEngines: readonly string[]
  readonly presets: readonly { readonly name: string; readonly title: string; readonly text: string }[]
}

/** A planned spec in figures. */
export interface Planned {
  readonly summary: PlanSummary
  /** Whether no rule is violated, how many there are, and what violates them. */
  readonly ok: boolean
  readonly rules: number
  readonly violations: readonly Violation[]
  readonly warnings: readonly string[]
  /** The values that are planned, those that the spec leaves open included, by the path of their field: `parallel.tp`. */
  readonly values: Readonly<Record<string, string | number | boolean>>
}

/** A plan: that of a spec, of serving that of one of its phases. */
export interface PlanSource {
  readonly text: string
  readonly pool: Pool
}

/** What of a plan a picture of its graph shows. */
export interface GraphRequest extends PlanSource {
  readonly level: Level
  /** Ids of cards that are not as the level has them: opened, or closed. */
  readonly toggled: readonly string[]
  readonly unroll: readonly UnrollAxis[]
  readonly rank?: number
}

/** A view whose cards can be opened and closed. */
export interface GraphView extends View {
  /** Ids of cards that can be opened. */
  readonly expandable: readonly string[]
  /** Opened frames, by the id of their cluster, with the id of the card that they close to. */
  readonly closes: Readonly<Record<string, string>>
  /** Ids of sends and recvs that stand on the border of the card that they belong to. */
  readonly ports: readonly string[]
}

/** Where a name was found: the node, and the cards that are not as their level has them once it can be seen. */
export interface Found {
  readonly id: string
  readonly title: string
  readonly kind: View['nodes'][number]['kind']
  readonly toggled: readonly string[]
}

/** What is selected, whatever it is: a node, a part of the program, or a slice of the timeline. Sums are of one rank. */
export interface Inspected {
  /** What stands out of all views: these, what holds them and what is inside of them. */
  readonly ids: readonly string[]
  readonly title: string
  readonly id: string
  /** The stage or rank that it is of, where it is of one. */
  readonly place?: string
  readonly rank: number
  /** The node of the program, where it is a single one. */
  readonly node?: string
  /** What its layer has to do with a border of the pipeline, in a sentence. */
  readonly border?: string
  /** Seconds from the start of the step, of a slice. */
  readonly from?: number
  readonly to?: number
  /** How many nodes of the program it holds. */
  readonly nodes: number
  readonly flops: number
  readonly bytesRead: number
  readonly bytesWritten: number
  readonly sent: number
  /** Seconds that its nodes take, those that communicate apart; absent where nothing was timed. */
  readonly computing?: number
  readonly communicating?: number
  /** Its nodes that take longest. */
  readonly holds: readonly {
    readonly node: string
    readonly kind: string
    readonly runs: number
    readonly seconds?: number
  }[]
}

/** A value of a field that cannot be planned, and what it would need. */
export interface Illegal {
  readonly value: number
  readonly message: string
  readonly help?: string
}

/** The values of a field near what is planned. */
export interface Choice {
  readonly path: string
  readonly legal: readonly number[]
  readonly illegal: readonly Illegal[]
}

/** A file that was made. */
export interface ExportedFile {
  readonly name: string
  readonly type: string
  readonly bytes: Uint8Array<ArrayBuffer>
  /** What gets lost without harm, or is drawn instead of what was asked for. */
  readonly notes: readonly string[]
}

/** The step of a spec by another schedule, or why there is none and what it would need. */
export type ScheduledStep =
  | { readonly name: string; readonly data: TimelineData }
  | { readonly name: string; readonly failure: Failure }

/** What a simulated step, several of them, or the front of a search is drawn as. */
export type StepPicture =
  | (PlanSource & { readonly view: 'timeline' | 'memory' })
  | (Jobs['compare']['request'] & { readonly view: 'compare' })
  | { readonly view: 'search'; readonly front: ParetoPicture }

/** What is asked of workers, and what they answer: one entry for each kind of job. */
export interface Jobs extends SearchJobs {
  catalogue: { request: Record<string, never>; answer: Catalogue }
  plan: { request: PlanSource; answer: Planned }
  graph: { request: GraphRequest; answer: GraphView }
  find: { request: GraphRequest & { readonly words: string }; answer: readonly Found[] }
  explain: { request: PlanSource & { readonly node: string; readonly rank?: number }; answer: Explanation }
  /** What an id of any view is; null for one that the plan does not have. */
  inspect: { request: PlanSource & { readonly id: string }; answer: Inspected | null }
  simulate: { request: PlanSource; answer: StepFigures }
  /** Several specs in figures, each as its plan and its step. */
  measure: { request: { readonly texts: readonly string[] }; answer: readonly Measured[] }
  /** What clients see of serving. */
  serve: { request: { readonly text: string }; answer: ServingSimulationSummary }
  choices: { request: { readonly text: string; readonly path: string }; answer: Choice }
  /** As SVG. */
  picture: { request: { readonly picture: StepPicture; readonly theme: 'light' | 'dark' }; answer: string }
  timeline: { request: PlanSource; answer: TimelineData }
  /** The step of the same plan by another schedule. */
  schedule: { request: PlanSource & { readonly name: string }; answer: ScheduledStep }
  memory: { request: PlanSource; answer: MemoryData }
  /** The first is what the others are compared with. */
  compare: {
    request: {
      readonly variants: readonly { readonly name: string; readonly text: string }[]
      readonly pool: Pool
    }
    answer: CompareData
  }
  /** Places of a view for a room of so many pixels, where each cell of it holds one card: null of others, which need Graphviz. */
  arrange: { request: { readonly view: GraphView; readonly room: Room }; answer: Placed | null }
  /** Of the worker `layout`: gives any view places. */
  place: { request: { readonly view: GraphView; readonly room: Room }; answer: Placed }
  /** Of the worker `layout`: a view as SVG, with the places that it has on the screen where it is on one. */
  draw: {
    request: { readonly view: View; readonly placed?: Placed; readonly theme: 'light' | 'dark' }
    answer: string
  }
  /** Of the worker `export`: the plan in one of the formats of `shardloom export`. */
  export: {
    request: PlanSource & { readonly format: string; readonly name: string }
    answer: readonly ExportedFile[]
  }
}

export type JobName = keyof Jobs

/** A message to a worker. */
export interface Ask<Name extends JobName = JobName> {
  readonly id: number
  readonly job: Name
  readonly request: Jobs[Name]['request']
}

/** How far a job is. */
export interface Progress {
  readonly done: number
  readonly of: number
}

/** A message from a worker. */
export type Reply =
  | { readonly id: number; readonly progress: Progress }
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly failure: Failure }
