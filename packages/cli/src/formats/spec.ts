import { specText } from 'shardloom'
import { loadFrom } from '../spec-flags.js'
import type { ExportFormat } from './format.js'

/** The spec itself, with what flags, presets and launchers have put into it. */
export const spec: ExportFormat = {
  title: 'a spec',
  extensions: ['yaml', 'yml'],
  options: [],
  help: `
Of spec, paths stay as they were written.`,
  make: async ({ io, specPath, flags }) => {
    const loaded = await loadFrom(io, specPath, flags)
    return { warnings: loaded.warnings ?? [], notice: '', chunks: [specText(loaded.spec)] }
  },
}
