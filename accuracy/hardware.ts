import type { Row } from './training/row.js'

/** The cluster that a row's hardware is, as a spec's `cluster`; undefined: not known here. */
export function clusterOfRow({
  hardware,
  gpus,
}: Pick<Row, 'hardware' | 'gpus'>): string | Record<string, unknown> | undefined {
  const has = (pattern: RegExp) => pattern.test(hardware)
  if (has(/GB200/)) return (gpus ?? 1) > 72 ? wholeTrays : 'gb200-nvl72'
  if (has(/GB300/)) return undefined
  if (has(/B300/)) return 'hgx-b300'
  if (has(/B200/)) return 'dgx-b200'
  if (has(/H200/)) return 'dgx-h200'
  if (has(/H800/)) return 'h800-deepseek'
  // Grand Teton: HBM2e at 2.4 TB/s and 500 W, 400 Gb/s for each (Meta 2024; torchtitan's benchmarks).
  if (has(/H100 96GB/))
    return {
      name: 'Grand Teton',
      accelerator: { accelerator: 'h100-sxm', memoryBytes: 96e9, memoryBandwidth: 2.4e12, powerWatts: 500 },
    }
  if (has(/H100/)) return 'dgx-h100'
  if (has(/A100/) && has(/40\s?GB/)) return { accelerator: 'a100-40-sxm' }
  if (has(/A100/)) return 'dgx-a100'
  if (has(/L40S/)) return 'l40s-pcie'
  return undefined
}

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
