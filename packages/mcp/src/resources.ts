import { specJsonSchema } from 'shardloom'
import { graphText, phasesText, rulesText, schedulesText, strategiesText } from './knowledge.js'
import { specSchemaUri } from './spec-input.js'

/** A text that agents can read. */
export interface Resource {
  readonly uri: string
  readonly name: string
  readonly title: string
  readonly description: string
  readonly mimeType: string
  readonly read: () => string | Promise<string>
}

const page = (name: string, title: string, description: string, read: Resource['read']): Resource => ({
  uri: `shardloom://knowledge/${name}`,
  name,
  title,
  description,
  mimeType: 'text/markdown',
  read,
})

/** Every resource of the server: the knowledge base, made from what plans are made of, and the schema of specs. */
export const resources: readonly Resource[] = [
  page(
    'strategies',
    'Strategies',
    'Axes of parallelism, what each splits, their options, and hybrids that people run',
    strategiesText,
  ),
  page('phases', 'Phases', 'Training, prefill, decode and serving', phasesText),
  page('graph', 'Nodes and edges', 'Kinds of nodes and edges, and how ids are made', graphText),
  page(
    'generation-rules',
    'Generation rules',
    'How communication follows from placements, and what is verified',
    rulesText,
  ),
  page('schedules', 'Pipeline schedules', 'Every schedule with its bubble and what it holds', schedulesText),
  {
    uri: specSchemaUri,
    name: 'spec-schema',
    title: 'JSON Schema of a spec',
    description: 'Every field of shardloom.spec/1 with its meaning, values and default (40 kB)',
    mimeType: 'application/schema+json',
    read: () => JSON.stringify(specJsonSchema()),
  },
]
