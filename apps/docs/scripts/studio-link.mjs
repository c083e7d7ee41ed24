import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { specText } from 'shardloom'

/** What the studio itself writes its links with. */
const { writeFragment } = await studioModule('state/fragment.ts')

/** The cluster on which the plans of diagrams are timed, where their spec names none. */
const cluster = 'dgx-h100'

/**
 * The fragment of a link that opens a diagram's plan in the studio: its spec as planned, and the level at which it is drawn; operators
 * stand in modules there, which open.
 */
export function linkOf({ spec: { model }, view: { level } }, { spec }) {
  const shown = level === 'operator' ? 'module' : level
  return writeFragment({
    variants: [
      {
        name: String(model ?? spec.model.name ?? 'a plan').slice(0, 80),
        text: specText({ ...spec, cluster: spec.cluster ?? cluster }),
      },
    ],
    active: 0,
    view: 'graph',
    graph: { level: shown, toggled: [], unroll: [] },
  })
}

/** A module of the studio's sources, bundled in memory: they are made for a browser and have no build of their own. */
async function studioModule(path) {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`../../studio/src/${path}`, import.meta.url))],
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    write: false,
    logLevel: 'silent',
  })
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`)
}
