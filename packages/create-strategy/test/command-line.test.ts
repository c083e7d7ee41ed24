import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { runCommandLine } from '../src/command-line.js'
import { dimClasses } from '../src/names.js'
import { tools } from '../src/skeleton.js'

const root = resolve(import.meta.dirname, '../../..')
const place = mkdtempSync(join(tmpdir(), 'create-strategy-'))
afterAll(() => rmSync(place, { recursive: true, force: true }))

const readJson = (...path: string[]) => JSON.parse(readFileSync(join(...path), 'utf8'))

describe('create-strategy', () => {
  it('writes a package and says what to type next', () => {
    const folder = join(place, 'vocab-parallel')
    const { exitCode, output, errors } = runCommandLine([folder], '0.3.1')
    expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: '' })
    expect(output).toContain('the axis `vp` splits the dim `vocab`')
    expect(readdirSync(folder, { recursive: true }).sort()).toEqual([
      '.gitignore',
      'README.md',
      'package.json',
      'src',
      'src/index.ts',
      'src/split-vocab.ts',
      'test',
      'test/split-vocab.test.ts',
      'tsconfig.build.json',
      'tsconfig.json',
    ])
  })

  it('asks for the version of Shardloom that it belongs to, and for the tools of this repository', () => {
    const { peerDependencies, devDependencies } = readJson(place, 'vocab-parallel', 'package.json')
    expect(peerDependencies).toEqual({ '@shardloom/core': '>=0.3.1 <1.0.0' })
    expect(devDependencies).toMatchObject({
      '@shardloom/core': '^0.3.1',
      shardloom: '^0.3.1',
      '@shardloom/cli': '^0.3.1',
    })
    const { devDependencies: ours } = readJson(root, 'package.json')
    expect(tools).toEqual({ typescript: `^${ours.typescript}`, vitest: `^${ours.vitest}` })
  })

  it('overwrites nothing', () => {
    const again = runCommandLine([join(place, 'vocab-parallel'), '--dim', 'ffn'], '0.3.1')
    expect(again).toMatchObject({ exitCode: 1, output: '' })
    expect(again.errors).toMatch(/^error\[FOLDER\] The folder `.*` is not empty: it holds `.gitignore`.\nhelp: .*\n$/)
    writeFileSync(join(place, 'a-file'), '')
    expect(runCommandLine([join(place, 'a-file')], '0.3.1').errors).toContain('is a file, not a folder')
    expect(runCommandLine([join(place, 'a-file', 'inside')], '0.3.1')).toMatchObject({ exitCode: 1 })
  })

  it('writes into an empty folder, also under version control', () => {
    mkdirSync(join(place, 'fresh-start', '.git'), { recursive: true })
    expect(runCommandLine([join(place, 'fresh-start')], '0.3.1')).toMatchObject({ exitCode: 0 })
  })

  it('explains itself, and refuses what it does not understand', () => {
    expect(runCommandLine(['--help'], '0.3.1').output).toMatch(/^Usage: create-strategy <folder>/)
    expect(runCommandLine(['--version'], '0.3.1').output).toBe('0.3.1\n')
    const bad = [[], ['a-b', 'c-d'], ['a-b', '--dims', 'ffn'], ['a-b', '--axis']]
    for (const args of bad) {
      const { exitCode, errors } = runCommandLine(args, '0.3.1')
      expect({ args, exitCode }).toEqual({ args, exitCode: 2 })
      expect(errors).toMatch(/^error\[USAGE\] .+\nhelp: Run `create-strategy --help`.\n$/)
    }
    expect(runCommandLine([join(place, 'Bad Name')], '0.3.1')).toMatchObject({ exitCode: 1, output: '' })
  })

  it('makes a package whose own tests pass, for every dim', () => {
    const skeletons = mkdtempSync(join(place, 'skeletons-'))
    symlinkSync(join(root, 'node_modules'), join(skeletons, 'node_modules'), 'junction')
    for (const dim of Object.keys(dimClasses)) {
      const folder = join(skeletons, `try-${dim.replaceAll('_', '-')}`)
      expect(runCommandLine([folder, '--axis', 'x', '--dim', dim], '0.3.1')).toMatchObject({ exitCode: 0, errors: '' })
    }
    // The sources of this repository stand in for the installed packages, as in all tests.
    const config = join(skeletons, 'vitest.config.mjs')
    writeFileSync(
      config,
      `import ours from ${JSON.stringify(join(root, 'vitest.config.ts'))}
export default { resolve: ours.resolve, test: { testTimeout: 60_000, isolate: false } }
`,
    )
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
    const args = [vitest, 'run', '--root', skeletons, '--config', config, '--reporter', 'json']
    const { numPassedTests, numTotalTests } = JSON.parse(
      execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
    )
    expect(numTotalTests).toBe(Object.keys(dimClasses).length * 10 - 3)
    expect(numPassedTests).toBe(numTotalTests)
  })
})
