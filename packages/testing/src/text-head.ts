import { createMesh, isShardloomError, type Mesh, type Program, programFromJson } from '@shardloom/core'
import type { Cursor } from './text-line.js'

const empty = {
  schema: 'shardloom.program/1',
  name: '',
  phase: '',
  tensors: [],
  items: [],
  preferences: [],
  notes: {},
}

/** A mesh may be written as JSON, which says anything. */
export function checkedMesh(mesh: Mesh, cursor: Cursor): Mesh {
  const why = 'the mesh is incomplete, or its degrees do not multiply to its ranks'
  return checked({ ...empty, mesh }, cursor, why).mesh
}

/** A pipeline as JSON. */
export function checkedPipeline(pipeline: unknown, mesh: Mesh, cursor: Cursor): Program['pipeline'] {
  return checked({ ...empty, mesh, pipeline }, cursor, 'the pipeline is incomplete, or names an axis that is not there')
    .pipeline
}

/** How much of a dim's elements falls to each position, as JSON. */
export function checkedLoads(loads: unknown, cursor: Cursor): Program['loads'] {
  return checked({ ...empty, mesh: createMesh(), loads }, cursor, 'loads are lists of whole numbers, not all 0').loads
}

function checked(value: unknown, cursor: Cursor, why: string): Program {
  try {
    return programFromJson(value)
  } catch (error) {
    if (!isShardloomError(error)) throw error
    throw cursor.error(why, undefined, cursor.line.text)
  }
}
