import type { LessonName, Plans, StudioState } from '../state/studio-state.js'
import type { Lesson } from './lesson.js'

/**
 * The state at a step of a guided page: its plans and its view. The reader's own plans are put aside, however many pages are opened after
 * each other. A step beyond the last is the last.
 */
export function openLesson(state: StudioState, page: LessonName, lesson: Lesson, at: number): StudioState {
  const step = Math.min(Math.max(0, at), lesson.steps.length - 1)
  const shown = lesson.steps[step]
  if (!shown) throw new Error(`internal error: the page ${page} has no steps`)
  return {
    variants: shown.plans,
    active: shown.active ?? 0,
    view: shown.view,
    graph: { level: 'layer', toggled: [], unroll: [], ...shown.graph },
    pool: state.pool,
    search: state.search,
    ...(shown.selection !== undefined && { selection: shown.selection }),
    learn: { page, step, own: state.learn?.own ?? plansOf(state) },
  }
}

/** The state with the reader's own plans again, at the list of pages. */
export function leaveLesson({ learn, selection: _, ...state }: StudioState): StudioState {
  return { ...state, ...learn?.own, view: 'learn', graph: { level: 'stage', toggled: [], unroll: [] } }
}

function plansOf({ variants, active }: StudioState): Plans {
  return { variants, active }
}
