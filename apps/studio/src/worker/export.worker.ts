import { htmlReport } from 'shardloom/svg'
import { knownSpec } from './cached.js'
import { fileOf, formats } from './formats.js'
import { serve } from './serve.js'

serve({
  export: async ({ text, pool, format, name }) => {
    const spec = await knownSpec(text)
    const known = spec.of(pool)
    if (format === 'html')
      return [fileOf(`${name}.html`, new TextEncoder().encode(await htmlReport(known.simulation, { title: name })))]
    return formats[format]?.(known, name, spec) ?? []
  },
})
