import { FailureText } from './failure.jsx'
import { ServingFigures } from './serving-figures.jsx'
import { StepFigures } from './step-figures.jsx'
import { useStudio } from './studio.js'

/** The bottom strip: what the plan comes to, or why there is none. */
export function Strip() {
  const { planned, failure, failureOld } = useStudio()
  const plan = planned.answer
  return (
    <section className="strip" aria-label="The plan in figures">
      {failure ? (
        <FailureText failure={failure} old={failureOld} />
      ) : plan?.values['phase'] === 'serving' ? (
        <ServingFigures />
      ) : (
        <StepFigures />
      )}
      {plan && plan.warnings.length > 0 && !failure && (
        <details className="warnings">
          <summary>
            {plan.warnings.length} {plan.warnings.length === 1 ? 'warning' : 'warnings'}
          </summary>
          <ul>
            {plan.warnings.map((warning) => (
              <li key={warning}>{warning}</li>
            ))}
          </ul>
        </details>
      )}
    </section>
  )
}
