import type { AcceleratorRecord } from './record.js'

/** Ascend NPUs of Huawei; a package with two dies is one device here. Rates are dense, bandwidths one way. */
export const huawei = {
  'ascend-910b2': {
    name: 'Huawei Ascend 910B2 (Atlas A2)',
    vendor: 'Huawei',
    peak: {
      fp16: [
        376e12,
        'quoted',
        '24 cube cores x 16^3 x 2 x 1.8 GHz = 353.9 from ascend-910b2-ini; 376 is the commonly quoted peak',
      ],
      bf16: [376e12, 'quoted'],
      int8: [752e12, 'quoted'],
      fp32: [94e12, 'quoted', 'cube, reduced'],
    },
    memoryBytes: [64 * 2 ** 30, 'gitee-910b', '64 GB'],
    memoryBandwidth: [1.6e12, 'quoted', 'another page says 400 GB/s, which is taken to be an error'],
    cacheBytes: [192 * 2 ** 20, 'ascend-910b2-ini'],
    cores: [24, 'ascend-910b2-ini'],
    perNode: [8, 'gitee-910b'],
    scaleUp: 'hccs',
    scaleOut: 'roce-200',
    hostBandwidth: [32e9, 'quoted'],
  },
  'ascend-910b3': {
    name: 'Huawei Ascend 910B3 (Atlas A2)',
    vendor: 'Huawei',
    peak: {
      fp16: [313e12, 'quoted'],
      bf16: [313e12, 'quoted'],
      int8: [626e12, 'quoted'],
      fp32: [78e12, 'quoted'],
    },
    memoryBytes: [64 * 2 ** 30, 'quoted'],
    memoryBandwidth: [1.6e12, 'quoted'],
    cacheBytes: [192 * 2 ** 20, 'quoted'],
    cores: [20, 'quoted'],
    perNode: [8, 'quoted'],
    scaleUp: 'hccs',
    scaleOut: 'roce-200',
    hostBandwidth: [32e9, 'quoted'],
  },
  'ascend-910c': {
    name: 'Huawei Ascend 910C (Atlas A3, two dies per package)',
    vendor: 'Huawei',
    peak: {
      fp16: [752e12, 'quoted', '376 per die; 780 in techpowerup-910c'],
      bf16: [
        752e12,
        'quoted',
        '376 per die; 780 in techpowerup-910c; the 384-package system is quoted at 289 PFLOP/s (chinaresearchcollective-cm384), 752.6 each',
      ],
      int8: [1504e12, 'quoted'],
    },
    memoryBytes: [128 * 2 ** 30, 'chinaresearchcollective-cm384', '48 TB over 384 packages'],
    memoryBandwidth: [3.2e12, 'techpowerup-910c'],
    cacheBytes: [384 * 2 ** 20, 'quoted'],
    perNode: [8, 'quoted'],
    scaleUp: 'unified-bus',
    scaleOut: 'roce-400',
  },
} satisfies Record<string, AcceleratorRecord>
