import { nameOfConfig } from '../setup/config.js'
import { fieldsOf } from './spec-text.js'
import type { Variant } from './studio-state.js'

/**
 * The name of a plan with another text: where it is the title of a model, numbered or not, that of the model which the text now has;
 * one that was given by hand stays. `titles` are those of presets.
 */
export function followingName(variant: Variant, text: string, titles: ReadonlyMap<string, string>): string {
  const { name } = variant
  const after = titleIn(text, titles)
  if (after === undefined) return name
  const own = titleIn(variant.text, titles)
  const title = [...titles.values(), ...(own === undefined ? [] : [own])].find(
    (each) => name.startsWith(each) && /^( \d+)*$/.test(name.slice(each.length)),
  )
  return title === undefined ? name : after + name.slice(title.length)
}

/** What the model of a text is called; undefined of a name that is none, such as one that is being typed. */
function titleIn(text: string, titles: ReadonlyMap<string, string>): string | undefined {
  const model = fieldsOf(text)?.['model']
  if (typeof model === 'string') return titles.get(model)
  return typeof model === 'object' && model !== null ? nameOfConfig(model) : undefined
}
