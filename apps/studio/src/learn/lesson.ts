import type { PlanSummary, StepFigures } from 'shardloom'
import type { GraphState, LessonName, Variant, ViewName } from '../state/studio-state.js'
import type { SourceName } from './sources.js'

/** What a spec comes to: the figures of its step, and its plan. */
export interface Measured {
  readonly figures: StepFigures
  readonly summary: PlanSummary
}

/** A guided page: a live plan, looked at in steps. */
export interface Lesson {
  readonly title: string
  /** What one learns, in a sentence. */
  readonly about: string
  readonly steps: readonly LessonStep[]
  /** What the page says is theirs. */
  readonly sources: readonly SourceName[]
}

/** Words; where they hold figures, those of the plan at hand, or where the words are about the plan of the step as it is given, of that. */
export type Paragraph = string | ((plan: Measured, given: Measured) => string)

/** A step: plans, the view of one of them, and words beside it. */
export interface LessonStep {
  readonly title: string
  readonly text: readonly Paragraph[]
  readonly plans: readonly Variant[]
  /** Which of the plans is shown and changed; the first where nothing is said. */
  readonly active?: number
  readonly view: Exclude<ViewName, 'learn'>
  /** What the graph shows, where that is not its layers. */
  readonly graph?: Partial<GraphState>
  /** The id of a node that is selected. */
  readonly selection?: string
  /** What to look at. */
  readonly look: string
  /** What keys show there, where there are keys. */
  readonly keys?: string
  readonly question?: Question
}

/** A question that the plan itself answers, once one of its fields is moved. */
export interface Question {
  readonly ask: string
  readonly knob: Knob
  readonly options: readonly Option[]
  /** Which of the options holds. */
  readonly answer: number
  /** Why, with the figures before the move and after it. */
  readonly because: (before: Measured, after: Measured) => string
}

/** A field of the spec that a question is about. */
export interface Knob {
  /** Its path, such as `parallel.tp`. */
  readonly path: string
  readonly label: string
  /** Values that can be planned, in the order of a slider; where the spec says nothing, the first holds. */
  readonly values: readonly (string | number | boolean)[]
  /** The value at which the question is answered. */
  readonly to: string | number | boolean
}

/** What a reader may expect, and whether the figures before the move and after it say so. */
export interface Option {
  readonly says: string
  readonly holds: (before: Measured, after: Measured) => boolean
}

export type Lessons = Readonly<Record<LessonName, Lesson>>
