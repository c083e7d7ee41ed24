/** The buffers of all typed arrays in plain data, each once: what a Worker can hand over instead of copying. */
export function buffersOf(value: unknown): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>()
  const visit = (each: unknown): void => {
    if (ArrayBuffer.isView(each)) {
      if (each.buffer instanceof ArrayBuffer) found.add(each.buffer)
    } else if (typeof each === 'object' && each !== null) for (const inner of Object.values(each)) visit(inner)
  }
  visit(value)
  return [...found]
}
