import { type Accelerator, type Cluster, type Dtype, type Group, groupOver } from '@shardloom/cluster'
import { type DataType, dataTypes, type Mesh, orList, ShardloomError } from '@shardloom/core'
import { type Efficiency, type EfficiencyRecord, efficiencyOf } from './efficiency.js'
import type { Rates } from './kernel-time.js'

/** How a system runs a plan, as far as the graph leaves it open: facts about the software, by its documentation. */
export interface Engine {
  /** Axes whose communication nothing is computed beside: it stands in the order of the compute stream. */
  readonly blocking: readonly string[]
  /** Per axis the share of its collectives that runs inside of the matmuls beside them (communication-fused kernels). */
  readonly fused: Readonly<Record<string, number>>
  /** Constants in place of those of the accelerator. */
  readonly efficiency: Partial<Efficiency>
}

/** A system that computes beside all communication that nothing waits for, and fuses none into its matmuls. */
export const usualEngine: Engine = { blocking: [], fused: {}, efficiency: {} }

/** A cluster under the ranks of a mesh, with an engine on it. */
export interface Machine {
  readonly cluster: Cluster
  readonly mesh: Mesh
  readonly engine: Engine
  readonly constants: EfficiencyRecord
  /** FLOP/s and B/s of one rank for operands of that type. Throws `NO_PEAK` where its matrix units do not have it. */
  readonly rates: (dtype: DataType) => Rates
  /** The ranks over some atoms, made once. */
  readonly group: (atoms: readonly string[]) => Group
}

/** Lays the ranks of a mesh over a cluster, in order. Throws `CLUSTER_SIZE` where it is too small. */
export function machineOf(cluster: Cluster, mesh: Mesh, engine: Engine = usualEngine): Machine {
  const { accelerator } = cluster
  const record = efficiencyOf(accelerator)
  const efficiency: Efficiency = { ...record.values, ...engine.efficiency }
  const rates = new Map<DataType, Rates>()
  const groups = new Map<string, Group>()
  groupOver(cluster, mesh, [])
  return {
    cluster,
    mesh,
    engine,
    constants: { ...record, values: efficiency },
    rates(dtype) {
      const known = rates.get(dtype)
      if (known) return known
      const made: Rates = {
        peak: peakOf(accelerator, dtype),
        sustained: dataTypes[dtype] === 1 ? efficiency.matmul8 : efficiency.matmul,
        memory: efficiency.memory * accelerator.memoryBandwidth,
        reading: efficiency.reading * accelerator.memoryBandwidth,
        cores: accelerator.cores ?? usualCores,
        efficiency,
      }
      rates.set(dtype, made)
      return made
    },
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

/** Tiles that an accelerator of unknown make works on at a time. */
const usualCores = 128

/** The peak of a type; of types that matrix units do not tell apart, that of their like. */
function peakOf({ name, peak }: Accelerator, dtype: DataType): number {
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
  throw new ShardloomError('NO_PEAK', `No peak for matmuls in ${dtype} is known of \`${name}\`.`, {
    subject: dtype,
    help: `Use ${orList(Object.keys(peak))}, or give the accelerator a \`peak.${dtype}\`.`,
  })
}
