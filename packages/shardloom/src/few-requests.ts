import type { PlannedSpec } from './sequence.js'

/** How many requests a load has at least that every client sends one of; empty where each of them does. */
export function fewRequests(
  spec: Pick<PlannedSpec, 'phase' | 'options'>,
  clients = spec.options.serving.load?.clients,
): string[] {
  const { requests, rate } = spec.options.serving.load ?? {}
  if (spec.phase !== 'serving' || rate !== undefined || requests === undefined || clients === undefined) return []
  if (requests >= clients) return []
  const count = requests === 1 ? '1 request is all' : `${requests} requests are all`
  return [
    `${count} that ${clients} clients send, so that ${clients - requests} of them send none: leave \`requests\` out for 10 of each client, or give ${clients} at least`,
  ]
}
