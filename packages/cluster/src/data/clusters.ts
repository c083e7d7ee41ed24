import type { ClusterRecord } from './record.js'

/** Reference clusters, levels from the inside out. Fabrics of several tiers without oversubscription are one level. */
export const clusters = {
  'dgx-a100': {
    name: 'DGX A100',
    accelerator: 'a100-80-sxm',
    levels: [
      { name: 'node', fanOut: [8, 'aiconfigurator'], link: 'nvlink-3' },
      { name: 'network', link: 'infiniband-hdr' },
    ],
  },
  'dgx-h100': {
    name: 'DGX H100',
    accelerator: 'h100-sxm',
    levels: [
      { name: 'node', fanOut: [8, 'aiconfigurator'], link: 'nvlink-4' },
      { name: 'network', link: 'infiniband-ndr' },
    ],
  },
  'dgx-h200': {
    name: 'DGX H200',
    accelerator: 'h200-sxm',
    levels: [
      { name: 'node', fanOut: [8, 'aiconfigurator'], link: 'nvlink-4' },
      { name: 'network', link: 'infiniband-ndr' },
    ],
  },
  'dgx-b200': {
    name: 'DGX B200, with ConnectX-7',
    accelerator: 'b200-sxm',
    levels: [
      { name: 'node', fanOut: [8, 'aiconfigurator'], link: 'nvlink-5' },
      { name: 'network', link: 'infiniband-ndr' },
    ],
  },
  'hgx-b200': {
    name: 'HGX B200, with ConnectX-8',
    accelerator: 'b200-sxm',
    levels: [
      { name: 'node', fanOut: [8, 'aiconfigurator'], link: 'nvlink-5' },
      { name: 'network', link: 'infiniband-xdr' },
    ],
  },
  'hgx-b300': {
    name: 'HGX B300',
    accelerator: 'b300-sxm',
    levels: [
      { name: 'node', fanOut: [8, 'aiconfigurator'], link: 'nvlink-5' },
      { name: 'network', link: 'infiniband-xdr' },
    ],
  },
  'gb200-nvl72': {
    name: 'GB200 NVL72',
    accelerator: 'gb200',
    levels: [
      { name: 'rack', fanOut: [72, 'aiconfigurator', '18 trays of 4 in one NVLink domain'], link: 'nvlink-5' },
      { name: 'network', link: 'infiniband-xdr' },
    ],
  },
  'h800-deepseek': {
    name: 'H800 nodes, as DeepSeek-V3 was trained on',
    accelerator: 'h800-sxm',
    levels: [
      { name: 'node', fanOut: [8, 'quoted'], link: 'nvlink-4-h800' },
      { name: 'network', link: 'infiniband-ndr' },
    ],
  },
  'hgx-h20': {
    name: 'HGX H20',
    accelerator: 'h20',
    levels: [
      { name: 'node', fanOut: [8, 'quoted'], link: 'nvlink-4' },
      { name: 'network', link: 'infiniband-ndr' },
    ],
  },
  'dgx-1-v100': {
    name: 'DGX-1 with V100',
    accelerator: 'v100-sxm2-32',
    levels: [
      { name: 'node', fanOut: [8, 'quoted'], link: 'nvlink-2' },
      { name: 'network', link: 'infiniband-edr', sharedBy: [2, 'quoted', '4 NICs for 8 GPUs'] },
    ],
  },
  'l40s-pcie': {
    name: '8 L40S behind two sockets',
    accelerator: 'l40s',
    levels: [
      { name: 'switch', fanOut: [4, 'aiconfigurator'], link: 'pcie-gen4' },
      { name: 'node', fanOut: [2, 'quoted'], link: 'socket-link' },
      { name: 'network', link: 'infiniband-ndr' },
    ],
  },
  'mi300x-node': {
    name: '8 MI300X per node',
    accelerator: 'mi300x',
    levels: [
      { name: 'node', fanOut: [8, 'ml-engineering-network'], link: 'infinity-fabric-mi300' },
      { name: 'network', link: 'infiniband-ndr' },
    ],
  },
  'atlas-900-a2': {
    name: 'Atlas 900 A2 (Ascend 910B)',
    accelerator: 'ascend-910b2',
    levels: [
      { name: 'node', fanOut: [8, 'gitee-910b'], link: 'hccs' },
      { name: 'network', link: 'roce-200' },
    ],
  },
  'cloudmatrix-384': {
    name: 'CloudMatrix 384 (Ascend 910C)',
    accelerator: 'ascend-910c',
    levels: [
      { name: 'node', fanOut: [8, 'quoted', 'packages'], link: 'unified-bus' },
      { name: 'supernode', fanOut: [48, 'besthub-cm384'], link: 'unified-bus-2' },
      { name: 'network', link: 'roce-400' },
    ],
  },
  'tpu-v4-pod': {
    name: 'TPU v4 pod',
    accelerator: 'tpu-v4',
    levels: [
      { name: 'x', fanOut: [16, 'scaling-book'], link: 'ici-v4' },
      { name: 'y', fanOut: [16, 'scaling-book'], link: 'ici-v4' },
      { name: 'z', fanOut: [16, 'scaling-book'], link: 'ici-v4' },
      { name: 'network', link: 'tpu-host-network', sharedBy: [4, 'scaling-book', 'chips of a host'] },
    ],
  },
  'tpu-v5e-pod': {
    name: 'TPU v5e pod',
    accelerator: 'tpu-v5e',
    levels: [
      { name: 'x', fanOut: [16, 'scaling-book'], link: 'ici-v5e' },
      { name: 'y', fanOut: [16, 'scaling-book'], link: 'ici-v5e' },
      { name: 'network', link: 'tpu-host-network', sharedBy: [8, 'scaling-book', 'chips of a host'] },
    ],
  },
  'tpu-v5p-pod': {
    name: 'TPU v5p pod',
    accelerator: 'tpu-v5p',
    levels: [
      { name: 'x', fanOut: [16, 'gcp-v5p'], link: 'ici-v5p' },
      { name: 'y', fanOut: [20, 'gcp-v5p'], link: 'ici-v5p' },
      { name: 'z', fanOut: [28, 'gcp-v5p'], link: 'ici-v5p' },
      { name: 'network', link: 'tpu-host-network', sharedBy: [4, 'scaling-book', 'chips of a host'] },
    ],
  },
  'tpu-v6e-pod': {
    name: 'TPU v6e pod',
    accelerator: 'tpu-v6e',
    levels: [
      { name: 'x', fanOut: [16, 'gcp-v6e'], link: 'ici-v6e' },
      { name: 'y', fanOut: [16, 'gcp-v6e'], link: 'ici-v6e' },
      { name: 'network', link: 'tpu-host-network', sharedBy: [8, 'scaling-book', 'chips of a host'] },
    ],
  },
} satisfies Record<string, ClusterRecord>
