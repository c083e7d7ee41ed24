import { useEffect, useRef, useState } from 'react'
import { SetUp } from '../setup/set-up.jsx'
import { FailureText } from '../shell/failure.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { useTouch } from '../shell/use-media.js'
import { useNarrow } from '../shell/use-narrow.js'
import { type LearnState, lessonNames } from '../state/studio-state.js'
import { desks } from '../worker/desk.js'
import type { LessonStep, Measured, Paragraph } from './lesson.js'
import { leaveLesson, openLesson } from './open-lesson.js'
import { QuestionBox } from './question-box.jsx'
import { useLessons } from './use-lessons.js'

/**
 * A guided page beside the views: the words of a step, its question, and the way through the page. Below a picture, where the screen is
 * narrow, it is a short card that says what to look at, until a button opens the rest.
 */
export function Guide({ learn: { page, step: asked } }: { readonly learn: LearnState }) {
  const { state, dispatch } = useStudio()
  const { content, failure } = useLessons()
  const title = useRef<HTMLHeadingElement>(null)
  const place = `${page} ${asked}`
  // biome-ignore lint/correctness/useExhaustiveDependencies: each step begins at its title
  useEffect(() => title.current?.focus(), [place, content])
  const narrow = useNarrow()
  const [open, setOpen] = useState(false)
  const folded = narrow && !open
  const leave = () => dispatch({ type: 'open', state: leaveLesson(state) })

  const lesson = content?.lessons[page]
  const at = Math.min(asked, (lesson?.steps.length ?? 1) - 1)
  const step = lesson?.steps[at]
  const go = (to: number) => lesson && dispatch({ type: 'open', state: openLesson(state, page, lesson, to) })
  const next = lessonNames[lessonNames.indexOf(page) + 1]
  const heading = (
    <h2 ref={title} tabIndex={-1}>
      {step?.title}
    </h2>
  )
  return (
    <aside className={folded ? 'guide folded' : 'guide'} aria-label="Guide">
      <div className="guide-bar">
        {folded ? (
          heading
        ) : (
          <span className="note">
            Learn {lessonNames.indexOf(page) + 1} of {lessonNames.length}
          </span>
        )}
        {narrow && (
          <button type="button" className="read" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? 'Picture' : 'Read and try'}
          </button>
        )}
        <button type="button" className="quiet" title="Back to your own plans" onClick={leave}>
          Leave ✕
        </button>
      </div>
      {failure && <FailureText failure={failure} />}
      {content && lesson && step && (
        <>
          {folded ? (
            <Look step={step} />
          ) : (
            <div className="guide-text" key={place}>
              <p className="guide-page">{lesson.title}</p>
              {heading}
              <StepText step={step} />
              <h3>Sources</h3>
              <ul className="sources">
                {lesson.sources.map((name) => {
                  const { short, title: paper, url } = content.sources[name]
                  return (
                    <li key={name}>
                      <a href={url} target="_blank" rel="noreferrer">
                        {short}
                      </a>
                      : {paper}
                    </li>
                  )
                })}
              </ul>
              <details className="whole-set-up">
                <summary>All of the set-up</summary>
                <SetUp />
              </details>
            </div>
          )}
          <nav className="guide-way" aria-label="Steps">
            <button type="button" disabled={at === 0} onClick={() => go(at - 1)}>
              ← Back
            </button>
            <ol>
              {lesson.steps.map((each, index) => (
                <li key={each.title}>
                  <button
                    type="button"
                    className="step-dot"
                    aria-label={`Step ${index + 1}: ${each.title}`}
                    aria-current={index === at ? 'step' : undefined}
                    title={each.title}
                    onClick={() => go(index)}
                  >
                    {index + 1}
                  </button>
                </li>
              ))}
            </ol>
            {at < lesson.steps.length - 1 ? (
              <button type="button" className="primary" onClick={() => go(at + 1)}>
                Next →
              </button>
            ) : next ? (
              <button
                type="button"
                className="primary"
                title={content.lessons[next].title}
                onClick={() => dispatch({ type: 'open', state: openLesson(state, next, content.lessons[next], 0) })}
              >
                Next page →
              </button>
            ) : (
              <button type="button" className="primary" onClick={leave}>
                Done
              </button>
            )}
          </nav>
        </>
      )}
    </aside>
  )
}

/** The words of a step, with the figures of the plan at hand, and its question. */
function StepText({ step }: { readonly step: LessonStep }) {
  const { state, text } = useStudio()
  const own = step.plans[step.active ?? 0]?.text ?? ''
  const changed = text ?? own
  const { answer, failure, stale } = useJob(desks.learn, 'measure', { texts: [own, changed] })
  const [before, after] = answer ?? []
  return (
    <>
      {step.text.map((paragraph, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the paragraphs of a step never move
        <p key={at}>{wordsOf(paragraph, after, before)}</p>
      ))}
      <Look step={step} />
      {step.view !== state.view && <ViewAgain view={step.view} />}
      {failure && <FailureText failure={failure} />}
      {step.question && (
        <QuestionBox question={step.question} before={before} after={stale ? undefined : after} text={changed} />
      )}
    </>
  )
}

/** What of the picture a step is about. */
function Look({ step }: { readonly step: LessonStep }) {
  const touch = useTouch()
  return (
    <p className="look">
      <b>Look at</b> {step.look} {!touch && step.keys}
    </p>
  )
}

/** A way back to the view that the step is about. */
function ViewAgain({ view }: { readonly view: LessonStep['view'] }) {
  const { dispatch } = useStudio()
  return (
    <button type="button" onClick={() => dispatch({ type: 'look', change: { view } })}>
      Back to {view === 'compare' ? 'the comparison' : `the ${view}`}
    </button>
  )
}

const wordsOf = (paragraph: Paragraph, plan: Measured | undefined, given: Measured | undefined): string =>
  typeof paragraph === 'string' ? paragraph : plan && given ? paragraph(plan, given) : '…'
