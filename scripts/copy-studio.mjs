/** Copies the built studio into the package of the command, which serves it: part of that package's build. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './workspace.mjs'

cpSync(join(root, 'apps/studio/dist'), join(root, 'packages/cli/dist/studio'), { recursive: true })
