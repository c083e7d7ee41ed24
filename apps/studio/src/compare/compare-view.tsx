import { useMemo } from 'react'
import { themes } from 'shardloom'
import { Pictured } from '../shell/pictured.jsx'
import { useStudio } from '../shell/studio.js'
import { useJob } from '../shell/use-job.js'
import { useSelection } from '../shell/use-selection.js'
import { desks } from '../worker/desk.js'
import { Compare } from './compare.jsx'

/** The variants of this page side by side; the first of them is what the others are compared with. */
export function CompareView() {
  const { state, dispatch, theme } = useStudio()
  const { variants, active } = state
  const [node, select] = useSelection()
  const { pool } = state
  const request = useMemo(() => (variants.length > 1 ? { variants, pool } : undefined), [variants, pool])
  const compared = useJob(desks.time, 'compare', request)
  const { answer } = compared
  if (!request)
    return (
      <p className="compare-empty">
        There is one plan so far. “+ Variant” keeps it and goes on with a copy; change that, and both stand here side by
        side.
      </p>
    )
  return (
    <Pictured job={compared}>
      {answer && (
        <Compare
          data={answer}
          theme={themes[theme]}
          node={node}
          onSelectNode={select}
          onPin={(at) => {
            const pinned = variants[at]
            if (!pinned || at === 0) return
            const others = variants.filter((_, index) => index !== at)
            const moved = active === at ? 0 : active < at ? active + 1 : active
            dispatch({ type: 'variants', variants: [pinned, ...others], active: moved })
          }}
          onRename={(at, name) =>
            dispatch({
              type: 'variants',
              variants: variants.map((each, index) => (index === at ? { ...each, name } : each)),
              active,
            })
          }
        />
      )}
    </Pictured>
  )
}
