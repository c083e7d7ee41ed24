import { htmlReport } from 'shardloom/svg'
import { knownOf } from './cached.js'
import { fileOf, formats } from './formats.js'
import { serve } from './serve.js'

serve({
  export: async ({ text, format, name }) => {
    const known = await knownOf(text)
    if (format === 'html')
      return [fileOf(`${name}.html`, new TextEncoder().encode(await htmlReport(known.simulation, { title: name })))]
    return formats[format]?.(known, name) ?? []
  },
})
