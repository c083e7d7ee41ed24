import { StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { loadSpec, type SpecInput, simulateLoaded, themes } from 'shardloom'
import { makeSchedule, timeSchedule } from 'shardloom/schedules'
import { Compare } from '../src/compare/compare.jsx'
import { type CompareData, compareVariants } from '../src/compare/data.js'
import { type MemoryData, memoryOfSimulation } from '../src/memory/data.js'
import { Memory } from '../src/memory/memory.jsx'
import { type TimelineData, timelineOfSimulation, timelinesOfSchedules } from '../src/timeline/data.js'
import { Timeline } from '../src/timeline/timeline.jsx'
import { manyEvents } from './many-events.js'

/** What a page shows, in its own words. */
export interface Shown {
  readonly view: 'timeline' | 'memory' | 'compare'
  readonly theme: 'light' | 'dark'
  readonly schedules?: readonly string[]
  readonly specs?: readonly { readonly name: string; readonly spec: SpecInput }[]
  readonly events?: number
}

async function panelsOf({ schedules, specs, events }: Shown): Promise<TimelineData[]> {
  if (events) return [manyEvents(events)]
  if (schedules)
    return timelinesOfSchedules(
      schedules.map((name) => timeSchedule(makeSchedule(name, { ranks: 4, microbatches: 8 }), { F: 1, I: 1, W: 1 })),
    )
  return Promise.all(
    (specs ?? []).map(async ({ name, spec }) => timelineOfSimulation(simulateLoaded(await loadSpec(spec)), name)),
  )
}

interface Made {
  readonly panels?: readonly TimelineData[]
  readonly steps?: readonly MemoryData[]
  readonly comparison?: CompareData
}

async function makeOf(shown: Shown): Promise<Made> {
  if (shown.view === 'timeline') return { panels: await panelsOf(shown) }
  const variants = await Promise.all(
    (shown.specs ?? []).map(async ({ name, spec }) => ({ name, simulation: simulateLoaded(await loadSpec(spec)) })),
  )
  if (shown.view === 'compare') return { comparison: compareVariants(variants) }
  return {
    panels: variants.map(({ name, simulation }) => timelineOfSimulation(simulation, name)),
    steps: variants.map(({ name, simulation }) => memoryOfSimulation(simulation, name)),
  }
}

function Page({ theme: name, panels, steps, comparison }: Made & Pick<Shown, 'theme'>) {
  const [node, setNode] = useState<string>()
  const [told, setTold] = useState('')
  const theme = themes[name]
  const chosen = { theme, node, onSelectNode: setNode }
  return (
    <>
      {panels && !steps && <Timeline panels={panels} {...chosen} />}
      {steps && <Memory steps={steps} timeline={panels?.[0]} {...chosen} />}
      {comparison && (
        <Compare
          data={comparison}
          {...chosen}
          onPin={(at) => setTold(`pin ${at}`)}
          onRename={(at, called) => setTold(`rename ${at} ${called}`)}
        />
      )}
      <output hidden>{[node, told].filter(Boolean).join(' ')}</output>
    </>
  )
}

/** Shows a view, and resolves when it is drawn. */
export async function show(shown: Shown): Promise<void> {
  const theme = themes[shown.theme]
  const { style } = document.documentElement
  for (const [name, colour] of Object.entries({
    page: theme.page,
    surface: theme.surface,
    rule: theme.rule,
    ink: theme.ink,
    secondary: theme.secondary,
    accent: theme.accent,
  }))
    style.setProperty(`--${name}`, colour)
  const made = await makeOf(shown)
  const root = document.querySelector('#root')
  if (!root) return
  createRoot(root).render(
    <StrictMode>
      <Page theme={shown.theme} {...made} />
    </StrictMode>,
  )
  await new Promise((resolve) => setTimeout(resolve, 200))
}
