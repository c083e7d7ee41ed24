import type { Changes } from './changes.js'
import { linked } from './links.js'
import type { Reason, Rendered, Table } from './render.js'

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Text as HTML shows it, in elements and in quoted attributes. */
export const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (each) => entities[each] ?? each)

/** A rendered block as one element of HTML; pictures in Mermaid are written by `mermaid`. */
export function htmlOf(rendered: Rendered, mermaid: (text: string) => string = fenced): string {
  const { pictures, caption, reasons, changes } = rendered
  const shown = pictures.map(({ name, svg, mermaid: text, table }) => {
    const title = name === undefined ? '' : `<p class="shardloom-side"><strong>${escapeHtml(name)}</strong></p>`
    const drawn = svg === undefined ? '' : linked(svg, reasons)
    const picture = drawn + (text === undefined ? '' : mermaid(text)) + (table ? tableHtml(table) : '')
    return `<div class="shardloom-picture" style="overflow-x:auto">${title}${picture}</div>`
  })
  return [
    `<figure class="shardloom" id="${rendered.prefix}">`,
    ...shown,
    caption === undefined ? '' : `<figcaption>${escapeHtml(caption)}</figcaption>`,
    changes ? changesHtml(changes) : '',
    reasons.length > 0 ? reasonsHtml(reasons) : '',
    '</figure>',
  ].join('')
}

const fenced = (text: string) => `<pre class="mermaid">${escapeHtml(text)}</pre>`

function tableHtml({ head, align, rows }: Table): string {
  const cells = (tag: 'th' | 'td', texts: readonly string[]) =>
    texts
      .map((text, index) => `<${tag} style="text-align:${align[index] ?? 'left'}">${escapeHtml(text)}</${tag}>`)
      .join('')
  const body = rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('')
  return `<table><thead><tr>${cells('th', head)}</tr></thead><tbody>${body}</tbody></table>`
}

const changesHtml = ({ table, notes }: Changes) =>
  tableHtml(table) + notes.map((note) => `<p><small>${escapeHtml(note)}</small></p>`).join('')

/** Sentences in which ids stand between backticks. */
const sentences = (text: readonly string[]) => escapeHtml(text.join(' ')).replace(/`([^`]*)`/g, '<code>$1</code>')

function reasonsHtml(reasons: readonly Reason[]): string {
  const items = reasons.map(
    ({ id, title, text }) => `<li id="${id}"><strong>${escapeHtml(title)}</strong><br>${sentences(text)}</li>`,
  )
  return `<details><summary>Why it communicates</summary><ul>${items.join('')}</ul></details>`
}
