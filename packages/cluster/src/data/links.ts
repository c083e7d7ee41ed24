import type { Fact } from '../sources.js'
import type { LinkRecord } from './record.js'

// What NCCL assumes of links that nobody has measured here. Steps are those of its low-latency protocol, as the fits to
// measured links come out near them too; what larger messages wait for beyond that is `fill`.
const ncclLaunch: Fact = [6.6e-6, 'nccl-tuner', 'base latency of a ring']
const networkStep: Fact = [5e-6, 'nccl-tuner', 'one step of a tree over the network']
const likeNvlink: Fact = [0.8, 'assumed', 'what NCCL takes to be usable of NVLink']
const pcie = { efficiency: [0.75, 'nccl-tuner', '12 of 16 GB/s of PCIe Gen3'], latency: [1e-6, 'nccl-tuner'] } as const

// Fitted together, one set per generation: see the report of test/measured.test.ts.
const nvlink3 = {
  kind: 'NVLink 3 + NVSwitch',
  efficiency: [0.81, 'nccl-a100'],
  latency: [0.77e-6, 'nccl-a100'],
  launch: [9.2e-6, 'nccl-a100'],
  fill: [6.5e-6, 'nccl-a100'],
  copyBandwidth: [880e9, 'nccl-a100'],
} as const
const nvlink4 = {
  kind: 'NVLink 4 + NVSwitch',
  efficiency: [0.865, 'nccl-h100'],
  latency: [0.77e-6, 'nccl-h100'],
  launch: [4.8e-6, 'nccl-h100'],
  fill: [2.6e-6, 'nccl-h100'],
  copyBandwidth: [1100e9, 'nccl-h100'],
  reduction: { efficiency: [0.7, 'nccl-h100'], latency: [12.5e-6, 'nccl-tuner', '25 µs for both steps'] },
} as const

/** Kinds of links. Bandwidths are of one direction, per rank; of a torus, per link. */
export const links = {
  'nvlink-2': {
    kind: 'NVLink 2',
    bandwidth: [150e9, 'llm-analysis'],
    efficiency: [0.8, 'nccl-tuner', '20 of 25 GB/s per link'],
    latency: [0.6e-6, 'nccl-tuner'],
    launch: ncclLaunch,
  },
  'nvlink-3': { ...nvlink3, bandwidth: [300e9, 'ml-engineering-network'] },
  'nvlink-4': { ...nvlink4, bandwidth: [450e9, 'aiconfigurator'] },
  'nvlink-4-h800': {
    ...nvlink4,
    kind: 'NVLink 4 (reduced) + NVSwitch',
    bandwidth: [200e9, 'quoted', '400 GB/s both ways'],
  },
  'nvlink-5': {
    kind: 'NVLink 5 + NVSwitch',
    bandwidth: [900e9, 'aiconfigurator'],
    efficiency: [0.845, 'nccl-b200'],
    latency: [1.14e-6, 'nccl-b200'],
    launch: [8.3e-6, 'nccl-b200'],
    fill: [4.1e-6, 'nccl-b200'],
    copyBandwidth: [1700e9, 'nccl-b200'],
    reduction: { efficiency: [0.575, 'nccl-b200'], latency: [12.5e-6, 'nccl-tuner', '25 µs for both steps'] },
  },
  'pcie-gen3': { ...pcie, kind: 'PCIe Gen3 x16', bandwidth: [16e9, 'quoted'], launch: ncclLaunch },
  'pcie-gen4': { ...pcie, kind: 'PCIe Gen4 x16', bandwidth: [32e9, 'aiconfigurator'], launch: ncclLaunch },
  'pcie-gen5': { ...pcie, kind: 'PCIe Gen5 x16', bandwidth: [64e9, 'aiconfigurator'], launch: ncclLaunch },
  'socket-link': {
    kind: 'link between CPU sockets',
    bandwidth: [16e9, 'nccl-tuner', 'AMD; 22 GB/s with Sapphire Rapids, 40 GB/s with Emerald Rapids'],
    efficiency: [1, 'nccl-tuner', 'the figure is what NCCL takes to be usable'],
    latency: [1e-6, 'nccl-tuner', 'as PCIe'],
  },
  'infinity-fabric-mi250x': {
    kind: 'Infinity Fabric',
    bandwidth: [350e9, 'ml-engineering-network'],
    perPeer: [50e9, 'ml-engineering-network'],
    efficiency: likeNvlink,
    latency: [4e-6, 'assumed', 'as MI300X'],
  },
  'infinity-fabric-mi300': {
    kind: 'Infinity Fabric full mesh',
    bandwidth: [448e9, 'ml-engineering-network'],
    perPeer: [64e9, 'ml-engineering-network'],
    efficiency: likeNvlink,
    latency: [4e-6, 'quoted'],
  },
  hccs: {
    kind: 'HCCS full mesh',
    bandwidth: [196e9, 'quoted'],
    perPeer: [28e9, 'quoted'],
    efficiency: likeNvlink,
    latency: [5e-6, 'quoted'],
  },
  'unified-bus': {
    kind: 'UB switch',
    bandwidth: [392e9, 'besthub-cm384'],
    efficiency: likeNvlink,
    latency: [1.2e-6, 'quoted'],
  },
  'unified-bus-2': {
    kind: 'UB switch, second tier',
    bandwidth: [380e9, 'besthub-cm384', 'under 3 % less than inside a node'],
    efficiency: likeNvlink,
    latency: [1.9e-6, 'quoted'],
  },
  'gaudi2-ports': {
    kind: '21 ports of 100 GbE, 3 to each peer',
    bandwidth: [262.5e9, 'quoted'],
    perPeer: [37.5e9, 'quoted'],
    efficiency: likeNvlink,
    latency: [5e-6, 'assumed', 'as HCCS'],
  },
  'gaudi3-ports': {
    kind: '21 ports of 200 GbE, 3 to each peer',
    bandwidth: [525e9, 'quoted'],
    perPeer: [75e9, 'quoted'],
    efficiency: likeNvlink,
    latency: [5e-6, 'assumed', 'as HCCS'],
  },
  'ici-v4': torusAxis(45e9),
  'ici-v5e': torusAxis(45e9),
  'ici-v5p': torusAxis(90e9),
  'ici-v6e': torusAxis(90e9),
  'infiniband-edr': network('InfiniBand EDR', [12.5e9, 'quoted'], [0.96, 'nccl-tuner', '12 of 12.5 GB/s']),
  'infiniband-hdr': network('InfiniBand HDR', [25e9, 'aiconfigurator'], [0.85, 'nccl-tests-119']),
  'infiniband-ndr': network('InfiniBand NDR', [50e9, 'aiconfigurator'], [0.92, 'nccl-tests-290']),
  'infiniband-xdr': network('InfiniBand XDR', [100e9, 'aiconfigurator'], [0.92, 'assumed', 'as NDR']),
  'slingshot-11': network('Slingshot-11', [25e9, 'quoted'], [0.85, 'assumed', 'as InfiniBand HDR']),
  'roce-200': network('RoCE 200 Gb/s', [25e9, 'quoted'], [0.85, 'assumed', 'as InfiniBand HDR']),
  'roce-400': network('RoCE 400 Gb/s', [50e9, 'besthub-cm384'], [0.85, 'assumed', 'as InfiniBand HDR']),
  'gaudi2-scale-out': network('3 ports of 100 GbE', [37.5e9, 'quoted'], [0.85, 'assumed', 'as InfiniBand HDR']),
  'gaudi3-scale-out': network('3 ports of 200 GbE', [75e9, 'quoted'], [0.85, 'assumed', 'as InfiniBand HDR']),
  'ethernet-25': network('Ethernet 25 Gb/s', [3.125e9, 'quoted'], [0.85, 'assumed', 'as InfiniBand HDR']),
  'ethernet-100': network('Ethernet 100 Gb/s', [12.5e9, 'quoted'], [0.85, 'assumed', 'as InfiniBand HDR']),
  'tpu-host-network': network('data-centre network of a host', [25e9, 'scaling-book'], [0.85, 'assumed', 'as HDR']),
} satisfies Record<string, LinkRecord>

function network(kind: string, bandwidth: Fact, efficiency: Fact): LinkRecord {
  return { kind, bandwidth, efficiency, latency: networkStep }
}

/** One axis of a torus of TPUs, two links per chip, whose quoted rates are usable (scaling-book). */
function torusAxis(bandwidth: number): LinkRecord {
  return {
    kind: 'ICI, one axis of a torus',
    bandwidth: [bandwidth, 'scaling-book'],
    efficiency: [1, 'scaling-book'],
    latency: [1e-6, 'scaling-book', 'one hop'],
    torus: true,
  }
}
