import { FailureText } from '../shell/failure.jsx'
import { useStudio } from '../shell/studio.js'
import { lessonNames } from '../state/studio-state.js'
import { openLesson } from './open-lesson.js'
import { useLessons } from './use-lessons.js'

/** The list of guided pages, and where the reader is. */
export function LearnView() {
  const { state, dispatch } = useStudio()
  const { content, failure } = useLessons()
  if (failure) return <FailureText failure={failure} />
  if (!content) return null
  const { learn } = state
  return (
    <div className="lessons">
      <h2>Learn parallelism by playing with it</h2>
      <p className="note">
        Each page is a plan that runs: read a step, look at the view beside it, move a slider, and see whether it is as
        you expected. Your own plans wait until you leave the page.
      </p>
      <ol>
        {lessonNames.map((name, at) => {
          const lesson = content.lessons[name]
          const open = learn?.page === name
          return (
            <li key={name}>
              <button
                type="button"
                className="lesson-card"
                aria-current={open}
                onClick={() =>
                  dispatch({ type: 'open', state: openLesson(state, name, lesson, open ? learn.step : 0) })
                }
              >
                <span className="lesson-number" aria-hidden="true">
                  {at + 1}
                </span>
                <span className="lesson-title">{lesson.title}</span>
                <span className="lesson-about">{lesson.about}</span>
                <span className="note">
                  {open
                    ? `Open: step ${Math.min(learn.step + 1, lesson.steps.length)} of ${lesson.steps.length}`
                    : `${lesson.steps.length} steps`}
                </span>
              </button>
            </li>
          )
        })}
      </ol>
    </div>
  )
}
