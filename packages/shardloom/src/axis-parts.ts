import { atomDegree, findAxis, nodesOf, orList, type Program } from '@shardloom/core'

const dimWords: Readonly<Record<string, string>> = {
  kv_heads: 'KV heads',
  group: 'the query heads that share a KV head',
}

/**
 * For names of parts of axes among `names`, such as `tp.1`: a sentence for each of their axes that says what its parts
 * are. What all parts split alike says nothing about one of them and is left out.
 */
export function axisPartsText({ items, mesh }: Program, names: readonly string[]): string[] {
  const axes = mesh.axes.filter(
    ({ atoms, name }) => !names.includes(name) && atoms.some((atom) => names.includes(atom)),
  )
  if (axes.length === 0) return []
  const split = new Map(mesh.atoms.map(({ name }) => [name, new Set<string>()]))
  for (const { partition } of nodesOf(items)) {
    for (const [dim, atoms] of Object.entries(partition?.splits ?? {}))
      for (const atom of atoms) split.get(atom)?.add(dim)
  }
  return axes.map(({ name, atoms }) => {
    if (atoms.length === 1) return `Axis ${name} stands over the same ranks as ${atoms[0]}.`
    const dimsOf = (atom: string) => [...(split.get(atom) ?? [])]
    const common = new Set(dimsOf(atoms[0] ?? '').filter((dim) => atoms.every((atom) => split.get(atom)?.has(dim))))
    const parts = atoms.map((atom) => {
      const own = dimsOf(atom).filter((dim) => !common.has(dim))
      const dims = own.map((dim) => dimWords[dim] ?? `\`${dim}\``)
      const what = dims.length ? `splits ${orList(dims).replace(' or ', ' and ')}` : 'splits nothing else'
      return `${atom} (degree ${atomDegree(mesh, atom)}) ${what}`
    })
    const degree = findAxis(mesh, name)?.degree ?? 1
    return `Axis ${name} (degree ${degree}) is divided into ${parts.length} parts: ${parts.join(', ')}.`
  })
}
