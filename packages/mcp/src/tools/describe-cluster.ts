import { describeCluster, knownClusters } from 'shardloom'
import { z } from 'zod'
import { defineTool } from '../tool.js'

/** `describe_cluster`: the accelerator and the links of a cluster, or the names that there are. */
export const describeClusterTool = defineTool({
  name: 'describe_cluster',
  title: 'Describe a cluster',
  description:
    'A cluster in figures: peak FLOP/s by element type, device memory and its bandwidth, devices per node, links level by level. Without `cluster`: the names of all presets and accelerators. Example: {"cluster": {"accelerator": "h100-sxm", "nodes": 2, "perNode": 8}}',
  units:
    'Peaks in FLOP/s, dense; memory in bytes; bandwidths in bytes per second of one direction; latencies in seconds. Null devices or joins: as many as a plan needs.',
  narrow: 'Give `cluster`.',
  input: {
    cluster: z
      .union([z.string().max(1000), z.record(z.string(), z.unknown())])
      .optional()
      .describe('a preset such as dgx-h100, a path below the root, or an object'),
  },
  output: {
    clusters: z.array(z.string()).optional().describe('names for `cluster`; only without `cluster`'),
    accelerators: z.array(z.string()).optional().describe('names for `cluster.accelerator`; only without `cluster`'),
    name: z.string().optional(),
    accelerator: z
      .looseObject({
        name: z.string(),
        peakFlopsPerSecond: z.record(z.string(), z.number()),
        memoryBytes: z.number(),
        memoryBytesPerSecond: z.number(),
      })
      .optional(),
    devicesPerNode: z.number().optional(),
    devices: z.number().nullable().optional(),
    levels: z
      .array(z.looseObject({ name: z.string(), bytesPerSecond: z.number(), latencySeconds: z.number() }))
      .optional()
      .describe('links from the innermost outwards'),
  },
  run: async ({ cluster }, { files }) =>
    cluster === undefined
      ? { schema: 'shardloom.clusters/1', ...knownClusters() }
      : describeCluster(cluster, files.access().readText),
})
