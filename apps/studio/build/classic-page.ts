import type { Plugin } from 'vite'

/**
 * A page opened from disk may load neither modules nor anything with `crossorigin`: its scripts become classic ones, which are run
 * when the page has been read.
 */
export function classicPage(): Plugin {
  return {
    name: 'classic-page',
    apply: 'build',
    enforce: 'post',
    transformIndexHtml: {
      order: 'post',
      handler: (html) => html.replaceAll(' type="module"', ' defer').replaceAll(' crossorigin', ''),
    },
  }
}
