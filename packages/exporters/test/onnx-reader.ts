import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import onnxProto, { type onnx } from 'onnx-proto'

/** The bytes of a model. */
export function bytesOf({ chunks }: { readonly chunks: () => Iterable<Uint8Array> }): Buffer {
  return Buffer.concat([...chunks()])
}

/** A model as onnx-proto reads it. */
export function readModel(model: { readonly chunks: () => Iterable<Uint8Array> }) {
  const { graph, functions, metadataProps } = onnxProto.onnx.ModelProto.decode(bytesOf(model))
  return {
    metadata: Object.fromEntries(metadataProps.map(({ key, value }) => [key ?? '', value ?? ''])),
    graph: {
      name: graph?.name,
      node: graph?.node ?? [],
      values: [...(graph?.input ?? []), ...(graph?.valueInfo ?? []), ...(graph?.output ?? [])],
    },
    functions: functions.map(({ name, node }) => ({ name, node: node ?? [] })),
  }
}

/** An attribute of a node as text, or as a list of texts. */
export function attributeOf({ attribute }: onnx.INodeProto, name: string): string | readonly string[] | undefined {
  const found = attribute?.find((each) => each.name === name)
  if (!found) return undefined
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
  if (found.type === 2) return found.refAttrName ? `@${found.refAttrName}` : String(found.i)
  if (found.type === 3 && found.s) return text(found.s)
  if (found.type === 7) return (found.ints ?? []).map(String)
  if (found.type === 8) return (found.strings ?? []).map(text)
  return String(found.f)
}

/** The Python that has onnx, or undefined: Debian's package is of the system's own Python. */
export const python = ['/usr/bin/python3', 'python3'].find(
  (command) => spawnSync(command, ['-c', 'import onnx']).status === 0,
)

const script = `
import json, sys, onnx
for path in sys.argv[1:]:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    print(json.dumps({"version": onnx.__version__, "ir": model.ir_version, "nodes": len(model.graph.node),
                      "functions": [f.name for f in model.functions],
                      "attributes": {n.name: {a.name: a.i for a in n.attribute if a.type == 2} for n in model.graph.node}}))
`

/** What Python's onnx says of a model that passes its full check. Throws what it complains of. */
export function checkWithPython(model: { readonly chunks: () => Iterable<Uint8Array> }): {
  readonly version: string
  readonly ir: number
  readonly nodes: number
  readonly functions: readonly string[]
  readonly attributes: Readonly<Record<string, Readonly<Record<string, number>>>>
} {
  const folder = mkdtempSync(join(tmpdir(), 'shardloom-onnx-'))
  try {
    const path = join(folder, 'model.onnx')
    writeFileSync(path, bytesOf(model))
    const { status, stdout, stderr } = spawnSync(python ?? '', ['-c', script, path], { encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
    return JSON.parse(stdout)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
