import type { AcceleratorRecord } from './record.js'

/** Gaudi accelerators of Intel. Rates are dense, bandwidths one way. */
export const intel = {
  gaudi2: {
    name: 'Intel Gaudi 2',
    vendor: 'Intel',
    peak: {
      bf16: [432e12, 'ml-engineering'],
      fp8: [865e12, 'ml-engineering'],
      fp16: [432e12, 'quoted'],
    },
    memoryBytes: [96 * 2 ** 30, 'hugging-face-gaudi', '96 GB'],
    memoryBandwidth: [2.46e12, 'ml-engineering'],
    cacheBytes: [48 * 2 ** 20, 'ml-engineering', 'software-managed SRAM'],
    powerWatts: [600, 'quoted'],
    perNode: [8, 'hugging-face-gaudi'],
    scaleUp: 'gaudi2-ports',
    scaleOut: 'gaudi2-scale-out',
  },
  gaudi3: {
    name: 'Intel Gaudi 3',
    vendor: 'Intel',
    peak: {
      bf16: [1677e12, 'ml-engineering', 'runs at 1.6 GHz; the white paper peak is 1835'],
      fp8: [1677e12, 'ml-engineering', 'white paper 1835'],
      fp16: [459e12, 'ml-engineering'],
      tf32: [459e12, 'ml-engineering'],
      fp32: [229e12, 'ml-engineering'],
    },
    memoryBytes: [128 * 2 ** 30, 'hugging-face-gaudi', '128 GB'],
    memoryBandwidth: [3.7e12, 'ml-engineering', '3675 in genz'],
    cacheBytes: [96 * 2 ** 20, 'ml-engineering'],
    powerWatts: [900, 'quoted'],
    perNode: [8, 'hugging-face-gaudi'],
    scaleUp: 'gaudi3-ports',
    scaleOut: 'gaudi3-scale-out',
  },
} satisfies Record<string, AcceleratorRecord>
