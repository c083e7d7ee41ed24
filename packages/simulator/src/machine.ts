import { type Accelerator, type Cluster, type Dtype, type Group, groupOver } from '@shardloom/cluster'
import { type DataType, dataTypes, type Mesh, orList, ShardloomError } from '@shardloom/core'
import { type Efficiency, type EfficiencyRecord, efficiencyOf } from './efficiency.js'
import { type Engine, efficiencyOn, engines } from './engine.js'
import type { Rates } from './kernel-time.js'

/** A system that computes beside all communication that nothing waits for, and fuses none into its matmuls. */
export const usualEngine: Engine = engines.usual

/** A cluster under the ranks of a mesh, with an engine on it. */
export interface Machine {
  readonly cluster: Cluster
  readonly mesh: Mesh
  readonly engine: Engine
  /** The type in which linear layers multiply, their operands cast, where it is not that of their operands. */
  readonly productType?: DataType | undefined
  readonly constants: EfficiencyRecord
  /** What kernels reach on one rank with operands of that type, beside its peak: any type can be moved. */
  readonly rates: (dtype: DataType) => Omit<Rates, 'peak'>
  /** FLOP/s of matrix products of that type. Throws `NO_PEAK` where matrix units do not have it, with the node that needs it. */
  readonly peak: (dtype: DataType, node?: string) => number
  /** The ranks over some atoms, made once. */
  readonly group: (atoms: readonly string[]) => Group
}

/**
 * Lays the ranks of a mesh over a cluster, in order. Throws `CLUSTER_SIZE` where it is too small, `SLOWDOWN` for one that is not a
 * positive number.
 */
export function machineOf(cluster: Cluster, mesh: Mesh, engine: Engine = usualEngine, productType?: DataType): Machine {
  const { accelerator } = cluster
  for (const [rank, factor] of Object.entries(engine.slowdown)) {
    if (Number.isFinite(factor) && factor > 0) continue
    throw new ShardloomError('SLOWDOWN', `Rank ${rank} is to compute ${factor} times as long.`, {
      subject: rank,
      help: 'Give a positive number, such as 1.2.',
    })
  }
  const record = efficiencyOf(accelerator)
  const efficiency: Efficiency = { ...record.values, ...efficiencyOn(engine, accelerator) }
  const rates = new Map<DataType, Omit<Rates, 'peak'>>()
  const groups = new Map<string, Group>()
  groupOver(cluster, mesh, [])
  return {
    cluster,
    mesh,
    engine,
    productType,
    constants: { ...record, values: efficiency },
    rates(dtype) {
      const known = rates.get(dtype)
      if (known) return known
      const made = {
        sustained: dataTypes[dtype] === 1 ? efficiency.matmul8 : efficiency.matmul,
        memory: efficiency.memory * accelerator.memoryBandwidth,
        reading: efficiency.reading * accelerator.memoryBandwidth,
        cores: accelerator.cores ?? usualCores,
        efficiency,
      }
      rates.set(dtype, made)
      return made
    },
    peak: (dtype, node) => peakOf(accelerator, dtype, node),
    group(atoms) {
      const key = atoms.join(' ')
      const known = groups.get(key)
      if (known) return known
      const made = groupOver(cluster, mesh, atoms)
      groups.set(key, made)
      return made
    },
  }
}

/**
 * B/s between a device and its host, one direction. Where nobody says, what copies reach of PCIe 4.0 ×16: 31.5 GB/s by its
 * specification (16 GT/s, 128b/130b; PCI-SIG 2017), of which four fifths are assumed.
 */
export function hostBandwidthOf({ hostBandwidth }: Pick<Accelerator, 'hostBandwidth'>): number {
  return hostBandwidth ?? 25e9
}

/** Tiles that an accelerator of unknown make works on at a time. */
const usualCores = 128

/** The types that products may be asked to have. */
const multiplied: readonly DataType[] = ['bf16', 'fp16', 'fp32', 'fp64', 'fp8']

/** The peak of a type; of types that matrix units do not tell apart, that of their like. */
function peakOf({ name, peak }: Accelerator, dtype: DataType, node: string | undefined): number {
  const like: Readonly<Record<DataType, readonly Dtype[]>> = {
    bf16: ['bf16', 'fp16'],
    fp16: ['fp16', 'bf16'],
    fp32: ['tf32', 'fp32'],
    fp64: [],
    fp8: ['fp8'],
    int8: ['int8'],
    int32: ['fp32'],
    int64: ['fp32'],
  }
  for (const each of like[dtype]) {
    const found = peak[each]
    if (found !== undefined) return found
  }
  const others = multiplied.filter((each) => like[each].some((type) => peak[type] !== undefined))
  const need = node === undefined ? '' : `, and \`${node}\` multiplies in it`
  throw new ShardloomError('NO_PEAK', `No peak for matmuls in ${dtype} is known of \`${name}\`${need}.`, {
    subject: node ?? dtype,
    help: `Use ${orList(others)}, or give the accelerator a \`peak.${dtype}\`.`,
  })
}
