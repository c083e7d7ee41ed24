import { type Program, programToJson } from '@shardloom/core'

/** The program as JSON text, ending in a line break: lossless, versioned, and read back by `programFromJson`. */
export function toJsonText(program: Program, indent = 2): string {
  return `${JSON.stringify(programToJson(program), undefined, indent)}\n`
}
