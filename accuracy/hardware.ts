import type { Row } from './training/row.js'

interface Device {
  readonly name: string
  /** Words that have to stand beside the name, and others that may. */
  readonly needs?: string
  readonly may: string
  readonly cluster: string | Record<string, unknown>
}

/** What is known, by the words that name it; the first that has all of a row's words is meant. */
const devices: readonly Device[] = [
  { name: 'A100', needs: '40GB', may: 'DGX HGX SXM SXM4', cluster: { accelerator: 'a100-40-sxm' } },
  { name: 'A100', may: 'DGX HGX SXM SXM4 80GB', cluster: 'dgx-a100' },
  // Grand Teton: HBM2e at 2.4 TB/s and 500 W, 400 Gb/s for each (Meta 2024; torchtitan's benchmarks).
  {
    name: 'H100',
    needs: '96GB',
    may: 'SXM HBM2e 2.4TB/s 500W',
    cluster: {
      name: 'Grand Teton',
      accelerator: { accelerator: 'h100-sxm', memoryBytes: 96e9, memoryBandwidth: 2.4e12, powerWatts: 500 },
    },
  },
  { name: 'H100', may: 'DGX HGX SXM SXM5 80GB HBM3', cluster: 'dgx-h100' },
  { name: 'H200', may: 'DGX HGX SXM SXM5 141GB', cluster: 'dgx-h200' },
  { name: 'H800', may: 'SXM SXM5 80GB', cluster: 'h800-deepseek' },
  { name: 'B200', needs: 'HGX', may: 'SXM', cluster: 'hgx-b200' },
  { name: 'B200', may: 'DGX SXM', cluster: 'dgx-b200' },
  { name: 'B300', may: 'HGX SXM', cluster: 'hgx-b300' },
  { name: 'GB200', may: 'DGX SXM NVL72', cluster: 'gb200-nvl72' },
  { name: 'L40S', may: 'PCIe', cluster: 'l40s-pcie' },
]

/** Words that tell no device from another: who makes it, and the networks and names of the clusters of published tables. */
const neutral = new Set('nvidia gpu gpus 8x hdr200 ib roce rdma 400gb/s/gpu selene eos grand teton'.split(' '))

/** Hardware as it may be written, for what is told where it is not known. */
export const knownHardware: readonly string[] = devices.map(({ name, needs, may }) =>
  [name, ...(needs ? [needs] : []), may.split(' ').includes('SXM') ? 'SXM' : may].join(' '),
)

/** The cluster that a row's hardware is, as a spec's `cluster`; undefined where one of its words names none that is known here. */
export function clusterOfRow({
  hardware,
  gpus,
}: Pick<Row, 'hardware' | 'gpus'>): string | Record<string, unknown> | undefined {
  // Where a log does not say, what its reader takes it to be.
  const said = /\bassume ([^,)]+)/i.exec(hardware)?.[1] ?? hardware
  const words = wordsOf(said.replace(/(\d)\s+(GB)\b/gi, '$1$2')).filter((word) => !neutral.has(word))
  const found = devices.find(({ name, needs = '', may }) => {
    const own = wordsOf(`${name} ${needs}`)
    const all = [...own, ...wordsOf(may)]
    return own.every((word) => words.includes(word)) && words.every((word) => all.includes(word))
  })
  return found?.name === 'GB200' && (gpus ?? 1) > 72 ? wholeTrays : found?.cluster
}

const wordsOf = (text: string) =>
  text
    .toLowerCase()
    .split(/[\s,;()_-]+/)
    .filter((word) => word !== '')

/**
 * Racks of 72 of which a job of several racks takes 64, so that no group of 64 or fewer reaches over two: schedulers hand
 * out segments of 16 trays of four (Slurm, topology/block; NVIDIA's launcher of GB200 jobs).
 */
const wholeTrays = {
  name: 'GB200 NVL72, 64 of each rack',
  accelerator: 'gb200',
  levels: [
    { name: 'rack', fanOut: 64, link: 'nvlink-5' },
    { name: 'network', link: 'infiniband-xdr' },
  ],
}
