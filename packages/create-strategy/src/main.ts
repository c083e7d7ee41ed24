#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { runCommandLine } from './command-line.js'

// Next to dist/ and next to src/ alike.
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))

const { exitCode, output, errors } = runCommandLine(process.argv.slice(2), version)
process.stdout.write(output)
process.stderr.write(errors)
process.exitCode = exitCode
