/**
 * Copies the built studio into a folder, named by the argument relative to where this runs: into the package of the command, which serves
 * it, and into the documentation site. Part of the builds of both.
 */
import { cpSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { root } from './workspace.mjs'

const [, , folder] = process.argv
if (!folder) throw new Error('Say where to: copy-studio.mjs FOLDER')
rmSync(resolve(folder), { recursive: true, force: true })
cpSync(join(root, 'apps/studio/dist'), resolve(folder), { recursive: true })
// Workers are classic scripts: tools that read the package shall not take them for modules.
writeFileSync(join(resolve(folder), 'workers/package.json'), '{ "type": "commonjs" }\n')
