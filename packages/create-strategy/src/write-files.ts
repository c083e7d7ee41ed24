import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Refusal } from './refusal.js'

/** Writes files into a folder that is new or empty. Throws a `Refusal` when anything stands there already, and touches nothing. */
export function writeFiles(folder: string, shown: string, files: ReadonlyMap<string, string>): void {
  if (existsSync(folder)) {
    if (!statSync(folder).isDirectory())
      throw new Refusal('FOLDER', `\`${shown}\` is a file, not a folder.`, 'Name a folder that does not exist yet.')
    const [first] = readdirSync(folder).filter((entry) => entry !== '.git')
    if (first !== undefined)
      throw new Refusal(
        'FOLDER',
        `The folder \`${shown}\` is not empty: it holds \`${first}\`.`,
        'Name a folder that does not exist yet, or an empty one.',
      )
  }
  for (const [path, text] of files) {
    const target = join(folder, path)
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, text, { flag: 'wx' })
  }
}
