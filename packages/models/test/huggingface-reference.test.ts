import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { fromHuggingFace, readHuggingFace } from '../src/huggingface/index.js'
import { countParameters, parameterTensors } from '../src/parameters.js'

interface ReferenceModel {
  file: string
  computedParams: number
  computedActiveParams: number
  computedActiveParamsNoEmbedding: number
  breakdown: Record<string, { instances: number; paramsEach: number; params: number }>
}

const folder = process.env.SHARDLOOM_REFERENCE && join(process.env.SHARDLOOM_REFERENCE, 'models')
const models: ReferenceModel[] = folder ? read('INDEX.json').models : []

function read(file: string) {
  return JSON.parse(readFileSync(join(folder ?? '', file), 'utf8'))
}

describe.skipIf(!folder)('the reference models', () => {
  test('every config has an entry in the index', () => {
    const files = readdirSync(folder ?? '').filter((file) => file.endsWith('.json') && file !== 'INDEX.json')
    expect(models.map(({ file }) => file).sort()).toEqual(files.sort())
  })

  test('no published config has a key that is taken for a misspelling', () => {
    for (const { file } of models) expect(readHuggingFace(read(file)).misspellings, file).toEqual([])
  })

  test.each(models)('$file is counted to the unit', (model) => {
    const count = countParameters(fromHuggingFace(read(model.file)))
    const modules = Object.fromEntries(
      [...count.modules].map(([module, { instances, parameters }]) => [
        module,
        { instances, paramsEach: parameters / instances, params: parameters },
      ]),
    )
    expect(modules).toEqual(model.breakdown)
    expect(count.total).toBe(model.computedParams)
    expect(count.active).toBe(model.computedActiveParams)
    expect(count.activeWithoutEmbedding).toBe(model.computedActiveParamsNoEmbedding)
  })

  test.each(models)('$file names each weight once, with as many dims as sizes', (model) => {
    const tensors = parameterTensors(fromHuggingFace(read(model.file)))
    const keys = tensors.map(({ layer, name }) => `${layer}:${name}`)
    expect(new Set(keys).size).toBe(keys.length)
    for (const { dims, shape, instances } of tensors) {
      expect(new Set(dims).size).toBe(shape.length)
      expect([...shape, instances].every((size) => Number.isInteger(size) && size > 0)).toBe(true)
    }
  })
})
