import { type KeyboardEvent, useRef, useState } from 'react'
import type { TimelineData } from './data.js'
import { rowSummary, slicesFrom, sliceText } from './describe.js'
import type { Place } from './draw.js'
import { linksOf } from './layout.js'

/** What the tree of a timeline is told and tells. */
export interface RowTreeProps {
  readonly panels: readonly TimelineData[]
  /** The ranks whose links are folded. */
  readonly folded: ReadonlySet<string>
  /** Folds or unfolds the links of a row's rank. */
  readonly onFold: (panel: number, row: number) => void
  /** The grain that is drawn on a row. */
  readonly grainOf: (panel: number, row: number) => number
  /** From when on slices are listed, in the unit of the timelines. */
  readonly from: number
  readonly selected: Place | undefined
  readonly onSelect: (place: Place) => void
}

/** Slices of a row that are listed at a time. */
const listed = 24

interface Item {
  readonly id: string
  readonly level: number
  readonly text: string
  readonly open?: boolean
  readonly parent?: string
  readonly place?: Place
  /** The first of the links that it stands for. */
  readonly links?: readonly [panel: number, row: number]
}

/** The timelines as a tree for the keyboard and for screen readers: timelines, their rows, and slices from the time that is looked at. */
export function RowTree({ panels, folded, onFold, grainOf, from, selected, onSelect }: RowTreeProps) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set(panels.map((_, panel) => `${panel}`)))
  const [active, setActive] = useState('0')
  const list = useRef<HTMLDivElement>(null)
  const items = panels.flatMap((data, panel): Item[] => {
    const id = `${panel}`
    const top = { id, level: 1, text: `${data.name}: ${data.fact}`, open: open.has(id) }
    if (!open.has(id)) return [top]
    return [
      top,
      ...data.rows.flatMap(({ stream, rank }, row): Item[] => {
        const own = `${panel}/${row}`
        const shut = folded.has(linksOf(panel, rank))
        const computing = data.rows[row - 1]?.stream === 'compute'
        const links: Item[] =
          stream !== 'compute' && computing
            ? [
                {
                  id: `${own} links`,
                  level: 2,
                  parent: id,
                  text: `${data.rows[row - 1]?.label}, links`,
                  open: !shut,
                  links: [panel, row],
                },
              ]
            : []
        if (stream !== 'compute' && shut) return links
        const item = { id: own, level: 2, parent: id, text: rowSummary(data, row), open: open.has(own) }
        if (!open.has(own)) return [...links, item]
        const grain = grainOf(panel, row)
        const slices = slicesFrom(data, row, grain, from * data.perUnit, listed)
        return [
          ...links,
          item,
          ...slices.map((slice): Item => {
            const place = { panel, row, grain, slice }
            return { id: `${own}/${grain}.${slice}`, level: 3, parent: own, text: sliceText(data, place), place }
          }),
        ]
      }),
    ]
  })
  const current = items.some(({ id }) => id === active) ? active : (items[0]?.id ?? '')
  const goTo = (item: Item | undefined) => {
    if (!item) return
    setActive(item.id)
    requestAnimationFrame(() => list.current?.querySelector<HTMLElement>('[tabindex="0"]')?.focus())
  }
  const toggle = ({ id, links }: Item, shown: boolean) => {
    if (links) return onFold(...links)
    const next = new Set(open)
    if (shown) next.add(id)
    else next.delete(id)
    setOpen(next)
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const at = items.findIndex(({ id }) => id === current)
    const item = items[at]
    if (!item) return
    if (event.key === 'ArrowDown') goTo(items[at + 1])
    else if (event.key === 'ArrowUp') goTo(items[at - 1])
    else if (event.key === 'Home') goTo(items[0])
    else if (event.key === 'End') goTo(items.at(-1))
    else if (event.key === 'ArrowRight' && item.open === false) toggle(item, true)
    else if (event.key === 'ArrowRight') goTo(items[at + 1])
    else if (event.key === 'ArrowLeft' && item.open === true) toggle(item, false)
    else if (event.key === 'ArrowLeft') goTo(items.find(({ id }) => id === item.parent))
    else if ((event.key === 'Enter' || event.key === ' ') && item.place) onSelect(item.place)
    else if (event.key === 'Enter' || event.key === ' ') toggle(item, item.open !== true)
    else return
    event.preventDefault()
    event.stopPropagation()
  }
  const isSelected = ({ place }: Item) =>
    place !== undefined &&
    selected?.panel === place.panel &&
    selected.row === place.row &&
    selected.grain === place.grain &&
    selected.slice === place.slice
  return (
    <div ref={list} className="row-tree" role="tree" aria-label="Rows and slices">
      {items.map((item) => (
        <div
          key={item.id}
          role="treeitem"
          aria-level={item.level}
          aria-expanded={item.open}
          aria-selected={isSelected(item)}
          tabIndex={item.id === current ? 0 : -1}
          onFocus={() => setActive(item.id)}
          onKeyDown={onKeyDown}
          onClick={() => (item.place ? onSelect(item.place) : toggle(item, item.open !== true))}
        >
          {item.text}
        </div>
      ))}
    </div>
  )
}
