/** What metrics are called for people, where that is not their name. */
const words: Readonly<Record<string, string>> = {
  'requests-per-second': 'requests/s',
  'tokens-per-second': 'tokens/s',
  throughput: 'tokens/s per rank',
  ttft: 'TTFT',
  'ttft-p99': 'TTFT, p99',
  tpot: 'TPOT',
  'tpot-p99': 'TPOT, p99',
}

/** A metric or an objective as people read it. */
export const metricWords = (name: string): string => words[name] ?? name.replaceAll('-', ' ')
