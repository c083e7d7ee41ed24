import { followingName } from './following-name.js'
import { type StudioState, sample, type Variant } from './studio-state.js'

/** States that one can go back to, the present one, and those gone back from. */
export interface History {
  readonly past: readonly StudioState[]
  readonly present: StudioState
  readonly future: readonly StudioState[]
  /** What the last change was of: changes of one thing in a row are one step back. */
  readonly group: string
}

/** What can happen to the state. */
export type Action =
  /** Replaces the spec; changes of the same `group` in a row, such as typing, are one step. A name that is one of the `titles` of models follows the model. */
  | {
      readonly type: 'edit'
      readonly text: string
      readonly group: string
      readonly titles?: ReadonlyMap<string, string>
    }
  | { readonly type: 'variants'; readonly variants: readonly Variant[]; readonly active: number }
  /** What is looked at: no step of its own. */
  | { readonly type: 'look'; readonly change: Partial<Omit<StudioState, 'variants' | 'active'>> }
  | { readonly type: 'open'; readonly state: StudioState }
  | { readonly type: 'undo' }
  | { readonly type: 'redo' }

/** Steps that one can go back. */
const mostSteps = 200

export const firstHistory: History = { past: [], present: sample, future: [], group: '' }

/** The next history; the same object where nothing changes. */
export function step(history: History, action: Action): History {
  const { past, present, future } = history
  switch (action.type) {
    case 'edit': {
      const { text, titles = new Map() } = action
      const variants = present.variants.map((each, at) =>
        at === present.active ? { name: followingName(each, text, titles), text } : each,
      )
      if (variants[present.active]?.text === present.variants[present.active]?.text) return history
      const next = { ...present, variants }
      if (action.group !== '' && action.group === history.group) return { ...history, present: next, future: [] }
      return { ...forward(history, next), group: action.group }
    }
    case 'variants':
      return forward(history, { ...present, variants: action.variants, active: action.active })
    case 'open':
      return present.learn && !action.state.learn
        ? forwardFromLesson(history, action.state)
        : forward(history, action.state)
    case 'look':
      return { ...history, present: { ...present, ...action.change } }
    case 'undo': {
      const before = past.at(-1)
      if (!before) return history
      return { past: past.slice(0, -1), present: withLook(before, present), future: [present, ...future], group: '' }
    }
    case 'redo': {
      const [after, ...rest] = future
      return after ? { past: [...past, present], present: withLook(after, present), future: rest, group: '' } : history
    }
  }
}

function forward({ past, present }: History, next: StudioState): History {
  return { past: [...past, present].slice(-mostSteps), present: next, future: [], group: '' }
}

/** What follows a guided page: the way back is that of the reader's own plans, without the page's. */
function forwardFromLesson({ past }: History, next: StudioState): History {
  const own = past.filter(({ learn }) => !learn)
  const last = own.at(-1)
  const same = last?.variants === next.variants && last.active === next.active
  return { past: same ? own.slice(0, -1) : own, present: next, future: [], group: '' }
}

/** Another plan as one looks at this one; of another step of a guided page, as that showed it. */
function withLook(state: StudioState, look: StudioState): StudioState {
  if (state.learn !== look.learn) return state
  return { ...look, variants: state.variants, active: state.active }
}
