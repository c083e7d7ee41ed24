import { expect, test } from 'vitest'
import { describeCluster, knownClusters } from '../src/index.js'

test('every known cluster and every accelerator in figures', async () => {
  const { clusters, accelerators } = knownClusters()
  const inputs = [...clusters, ...accelerators.map((accelerator) => ({ accelerator, nodes: 1 }))]
  for (const input of inputs) {
    const cluster = await describeCluster(input)
    expect(cluster.accelerator.memoryBytes, JSON.stringify(input)).toBeGreaterThan(1e9)
    expect(JSON.parse(JSON.stringify(cluster))).toEqual(cluster)
  }
})

test('none, and a file without access', async () => {
  await expect(describeCluster(undefined)).rejects.toMatchObject({ code: 'NO_CLUSTER' })
  await expect(describeCluster('./own.yaml')).rejects.toMatchObject({ code: 'NO_ACCESS' })
  const text = '{name: own, accelerator: h100-sxm, nodes: 3}'
  expect((await describeCluster('./own.yaml', () => text)).devices).toBe(24)
})
