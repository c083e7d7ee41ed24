import { measures, themes } from 'shardloom'
import type { Plugin } from 'vite'

const name = 'virtual:theme.css'

/** The colours of every output as custom properties of CSS, light and dark, from the one module of tokens. */
export function themeStyles(): Plugin {
  return {
    name: 'theme-styles',
    resolveId: (id) => (id === name ? `\0${name}` : undefined),
    load: (id) => (id === `\0${name}` ? styles() : undefined),
  }
}

function styles(): string {
  const rules = Object.entries(themes).map(
    ([theme, tokens]) =>
      `:root[data-theme='${theme}'] {\n  color-scheme: ${theme};\n${properties(tokens).join('\n')}\n}`,
  )
  return [...rules, `:root {\n  --text: ${measures.text};\n  --monospace: ${measures.monospace};\n}`].join('\n')
}

/** `{kinds: {compute: {fill: '#…'}}}` as `--kinds-compute-fill: #…`. */
function properties(tokens: object, prefix = '-'): string[] {
  return Object.entries(tokens).flatMap(([key, value]: [string, unknown]) => {
    const here = `${prefix}-${key}`
    return typeof value === 'object' && value !== null ? properties(value, here) : [`  ${here}: ${String(value)};`]
  })
}
