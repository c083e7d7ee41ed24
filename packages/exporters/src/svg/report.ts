import { type Theme, type ThemeName, themes } from '../tokens.js'
import { escapeText } from './pen.js'
import type { SvgTheme } from './style.js'

/** A figure of a report: what it is of, and its value with a unit. */
export interface ReportFigure {
  readonly name: string
  readonly value: string
  /** What belongs to it, such as a limit. */
  readonly note?: string
}

/** A table with a caption. */
export interface ReportTable {
  readonly caption: string
  readonly columns: readonly { readonly title: string; readonly numeric?: boolean }[]
  readonly rows: readonly (readonly string[])[]
}

/** A part of a report under a heading of its own; everything in it is text but pictures, which are SVG of this library. */
export interface ReportSection {
  readonly heading: string
  readonly sentences?: readonly string[]
  readonly figures?: readonly ReportFigure[]
  readonly picture?: string
  readonly tables?: readonly ReportTable[]
}

/** A report of one page. */
export interface Report {
  readonly title: string
  readonly subtitle: string
  /** What the reader has to know before anything else. */
  readonly warnings: readonly string[]
  readonly sections: readonly ReportSection[]
}

/**
 * One file of HTML without scripts or anything from elsewhere, for reading and printing: a policy in its head forbids both. All text
 * is escaped; pictures are put in as they are.
 */
export function reportPage({ title, subtitle, warnings, sections }: Report, theme: SvgTheme = 'auto'): string {
  const notes =
    warnings.length === 0
      ? ''
      : `<ul class="warnings" aria-label="Warnings">${warnings.map((each) => `<li>${escapeText(each)}</li>`).join('')}</ul>\n`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="${theme === 'auto' ? 'light dark' : theme}">
<title>${escapeText(title)}</title>
<style>${stylesOf(theme)}</style>
</head>
<body>
<main>
<header><h1>${escapeText(title)}</h1><p>${escapeText(subtitle)}</p></header>
${notes}${sections.map(section).join('\n')}
</main>
</body>
</html>
`
}

function section({ heading, sentences = [], figures = [], picture, tables = [] }: ReportSection): string {
  const parts = [
    `<h2>${escapeText(heading)}</h2>`,
    ...(figures.length > 0 ? [`<dl>${figures.map(figure).join('')}</dl>`] : []),
    ...(sentences.length > 0 ? [`<ul>${sentences.map((each) => `<li>${escapeText(each)}</li>`).join('')}</ul>`] : []),
    // A picture wider than the page becomes smaller as long as it can be read, and then scrolls by itself, also by keys.
    ...(picture === undefined
      ? []
      : [
          `<div class="picture" tabindex="0" role="group" aria-label="${escapeText(heading)}">${scaling(picture.trimEnd())}</div>`,
        ]),
    ...tables.map(table),
  ]
  return `<section>${parts.join('\n')}</section>`
}

/** Down to this share of its size a picture is scaled: facts of 11 pixels stay above 8. */
const leastScale = 0.75

/** A picture that becomes as narrow as its page, down to {@link leastScale}. */
function scaling(picture: string): string {
  return picture.replace(
    /^<svg ([^>]*?\bwidth="(\d+)")/,
    (_, head: string, width: string) => `<svg style="min-width:${Math.ceil(leastScale * Number(width))}px" ${head}`,
  )
}

const figure = ({ name, value, note }: ReportFigure) =>
  `<div><dt>${escapeText(name)}</dt><dd><strong>${escapeText(value)}</strong>${note ? `<small>${escapeText(note)}</small>` : ''}</dd></div>`

function table({ caption, columns, rows }: ReportTable): string {
  const kind = (index: number) => (columns[index]?.numeric ? ' class="number"' : '')
  const head = columns.map(({ title }, index) => `<th scope="col"${kind(index)}>${escapeText(title)}</th>`).join('')
  const cell = (content: string, index: number) =>
    index === 0 ? `<th scope="row">${escapeText(content)}</th>` : `<td${kind(index)}>${escapeText(content)}</td>`
  const body = rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('\n')
  return `<table><caption>${escapeText(caption)}</caption><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>`
}

const base = `*{box-sizing:border-box}
body{margin:0;font:14px/1.5 system-ui,'Segoe UI',Roboto,'Noto Sans',sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1480px;margin:0 auto;padding:24px}
h1{font-size:24px;line-height:1.2;margin:0 0 4px}h2{font-size:17px;margin:0 0 8px}
header p{margin:0}section{margin:28px 0 0;break-inside:avoid-page}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:10px;margin:0}
dl div{border:1px solid;border-radius:8px;padding:10px 12px}dt{font-size:12px}dd{margin:0}
dd strong{display:block;font-size:20px;line-height:1.3}small{font-size:12px}
ul{margin:0 0 8px;padding-left:20px}.warnings{list-style:none;margin:16px 0 0;padding:10px 14px;border:1px solid;border-radius:8px}
.picture{overflow-x:auto;border:1px solid;border-radius:8px;padding:4px}.picture svg{display:block;max-width:100%;height:auto}
table{border-collapse:collapse;width:100%;margin:8px 0}caption{text-align:left;font-size:12px;padding:4px 0}
th,td{text-align:left;padding:4px 14px 4px 0;border-bottom:1px solid;vertical-align:top;font-weight:400}
thead th{font-weight:600}.number{text-align:right;white-space:nowrap}
@media print{main{max-width:none;padding:0}.picture{overflow:visible;border:0;padding:0}.picture svg{min-width:0!important}}`

const coloured = ({ page, surface, ink, secondary, rule, kinds, accent }: Theme) =>
  `body{background:${page};color:${ink}}header p,dt,small,caption{color:${secondary}}dl div,.picture,th,td{border-color:${rule}}dl div{background:${surface}}.warnings{background:${kinds.control.fill};border-color:${kinds.control.stroke}}:focus-visible{outline:2px solid ${accent}}`

function stylesOf(theme: SvgTheme): string {
  const of = (name: ThemeName) => coloured(themes[name])
  if (theme !== 'auto') return `${base}\n${of(theme)}`
  return `${base}\n${of('light')}\n@media screen and (prefers-color-scheme:dark){${of('dark')}}`
}
