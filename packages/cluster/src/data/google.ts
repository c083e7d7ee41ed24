import type { AcceleratorRecord } from './record.js'

/** TPUs of Google. Rates are dense, bandwidths one way. */
export const google = {
  'tpu-v4': {
    name: 'Google TPU v4',
    vendor: 'Google',
    peak: {
      bf16: [275e12, 'scaling-book'],
      int8: [275e12, 'scaling-book'],
    },
    memoryBytes: [32 * 2 ** 30, 'scaling-book', '32 GB'],
    memoryBandwidth: [1.228e12, 'genz', '1.2e12 in scaling-book'],
    cacheBytes: [128 * 2 ** 20, 'quoted', 'CMEM; VMEM is smaller'],
    perNode: [4, 'scaling-book'],
    scaleUp: 'ici-v4',
    scaleOut: 'tpu-host-network',
    nicSharedBy: [4, 'scaling-book'],
  },
  'tpu-v5e': {
    name: 'Google TPU v5e',
    vendor: 'Google',
    peak: {
      bf16: [197e12, 'gcp-v5e'],
      int8: [393e12, 'gcp-v5e'],
    },
    memoryBytes: [16 * 2 ** 30, 'gcp-v5e', '16 GB'],
    memoryBandwidth: [819e9, 'gcp-v5e'],
    cacheBytes: [128 * 2 ** 20, 'scaling-book', 'VMEM'],
    perNode: [8, 'gcp-v5e'],
    scaleUp: 'ici-v5e',
    scaleOut: 'tpu-host-network',
    nicSharedBy: [8, 'scaling-book'],
  },
  'tpu-v5p': {
    name: 'Google TPU v5p',
    vendor: 'Google',
    peak: {
      bf16: [459e12, 'gcp-v5p'],
      int8: [918e12, 'scaling-book'],
    },
    memoryBytes: [95 * 2 ** 30, 'gcp-v5p', '95 GB'],
    memoryBandwidth: [2.765e12, 'gcp-v5p'],
    perNode: [4, 'scaling-book'],
    scaleUp: 'ici-v5p',
    scaleOut: 'tpu-host-network',
    nicSharedBy: [4, 'scaling-book'],
  },
  'tpu-v6e': {
    name: 'Google TPU v6e (Trillium)',
    vendor: 'Google',
    peak: {
      bf16: [918e12, 'gcp-v6e'],
      int8: [1836e12, 'gcp-v6e'],
      fp8: [918e12, 'ml-engineering'],
    },
    memoryBytes: [32 * 2 ** 30, 'gcp-v6e', '32 GB'],
    memoryBandwidth: [1.638e12, 'gcp-v6e'],
    perNode: [8, 'gcp-v6e'],
    scaleUp: 'ici-v6e',
    scaleOut: 'tpu-host-network',
    nicSharedBy: [8, 'scaling-book'],
  },
} satisfies Record<string, AcceleratorRecord>
