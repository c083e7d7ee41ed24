import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { join, relative, resolve } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { missingOptional } from '../scripts/complete-lockfile.mjs'

interface Manifest {
  name: string
  private?: boolean
  type?: string
  sideEffects?: boolean
  files?: string[]
  license?: string
  engines?: { node?: string }
  exports?: Record<string, Record<string, string>>
  bin?: Record<string, string>
  dependencies?: Record<string, string>
  devDependencies?: Record<string, string>
  peerDependencies?: Record<string, string>
}

interface Package {
  folder: string
  manifest: Manifest
  sources: string[]
}

const root = resolve(import.meta.dirname, '..')
const packages = ['packages', 'apps'].flatMap((parent) =>
  readdirSync(join(root, parent))
    .sort()
    .map((name) => `${parent}/${name}`)
    .filter((folder) => existsSync(join(root, folder, 'package.json')))
    .map(
      (folder): Package => ({
        folder,
        manifest: JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')),
        sources: filesBelow(`${folder}/src`).filter((file) => file.endsWith('.ts')),
      }),
    ),
)
const published = packages.filter(({ manifest }) => !manifest.private)
const workspaceNames = new Set(packages.map(({ manifest }) => manifest.name))

/** Which packages of the workspace a package may use at run time. Arrows point one way: core ← everything. */
function mayUse(folder: string, name: string): boolean {
  if (/^packages\/(core|schedules)$/.test(folder)) return false
  if (folder === 'packages/strategy-pp') return ['@shardloom/core', '@shardloom/schedules'].includes(name)
  if (/^(packages\/cli|apps\/docs)$/.test(folder) && name === 'remark-shardloom') return true
  if (folder === 'apps/docs' && name === '@shardloom/studio') return true
  if (/^packages\/(cli|mcp|remark-shardloom)$/.test(folder) || folder.startsWith('apps/')) return name === 'shardloom'
  if (folder === 'packages/shardloom') return name !== '@shardloom/cli'
  if (/^packages\/(exporters|simulator)$/.test(folder)) return !/strategy-|models$|^shardloom$|cli$/.test(name)
  return name === '@shardloom/core'
}

describe.each(packages)('the imports of $folder', ({ folder, manifest, sources }) => {
  const runtime = Object.keys({
    ...manifest.dependencies,
    ...manifest.peerDependencies,
    ...(manifest.private ? manifest.devDependencies : {}),
  })

  test('the manifest depends only in the direction of the arrows', () => {
    expect(runtime.filter((name) => workspaceNames.has(name) && !mayUse(folder, name))).toEqual([])
  })

  test('every import is of an entry point that the manifest may use', () => {
    const entryPoints = new Set([
      ...runtime.flatMap(exportedBy),
      ...runtime.filter((name) => !workspaceNames.has(name)),
    ])
    const wrong = importsOf(sources).filter(({ specifier }) => {
      if (specifier.startsWith('.') || isBuiltin(specifier)) return false
      if (workspaceNames.has(packageName(specifier))) return !entryPoints.has(specifier)
      return !entryPoints.has(packageName(specifier)) && !entryPoints.has(`@types/${specifier}`)
    })
    expect(wrong).toEqual([])
  })

  test('no relative import leaves the package', () => {
    const inside = join(root, folder, 'src')
    const wrong = importsOf(sources).filter(
      ({ file, specifier }) => specifier.startsWith('.') && !resolve(root, file, '..', specifier).startsWith(inside),
    )
    expect(wrong).toEqual([])
  })

  test('a package whose sources see no Node types imports no Node built-in', () => {
    const { compilerOptions } = JSON.parse(readFileSync(join(root, folder, 'tsconfig.json'), 'utf8'))
    if (compilerOptions?.types?.includes('node')) return
    expect(importsOf(sources).filter(({ specifier }) => isBuiltin(specifier))).toEqual([])
  })
})

test('core has no dependency and sees no Node types', () => {
  const core = packages.find(({ folder }) => folder === 'packages/core')
  expect(core?.manifest).not.toHaveProperty('dependencies')
  expect(core?.manifest).not.toHaveProperty('peerDependencies')
  const { compilerOptions } = JSON.parse(readFileSync(join(root, 'packages/core/tsconfig.json'), 'utf8'))
  expect(compilerOptions ?? {}).not.toHaveProperty('types')
})

test('strategies take core as a peer, so that a project has one core', () => {
  for (const { folder, manifest } of packages.filter(({ folder }) => folder.startsWith('packages/strategy-'))) {
    expect(manifest.peerDependencies, folder).toHaveProperty('@shardloom/core')
    expect(manifest.dependencies ?? {}, folder).not.toHaveProperty('@shardloom/core')
  }
})

test('the packages depend on each other without a cycle', () => {
  const finished = new Set<string>()
  const visit = (name: string, path: string[]): string[] => {
    if (path.includes(name)) return [...path, name]
    if (finished.has(name)) return []
    const manifest = packages.find((candidate) => candidate.manifest.name === name)?.manifest
    const next = { ...manifest?.dependencies, ...manifest?.peerDependencies, ...manifest?.devDependencies }
    for (const dependency of Object.keys(next).filter((key) => workspaceNames.has(key))) {
      const cycle = visit(dependency, [...path, name])
      if (cycle.length > 0) return cycle
    }
    finished.add(name)
    return []
  }
  for (const name of workspaceNames) expect(visit(name, [])).toEqual([])
})

test('the lockfile holds the native builds of every platform, or npm ci refuses it', () => {
  const { packages: entries } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  expect(missingOptional(entries), 'run: node scripts/complete-lockfile.mjs').toEqual([])
})

test('the README lists every published package', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const listed = [...readme.matchAll(/^\| \[`([^`]+)`\]\(([^)]+)\)/gm)].map((match) => [match[1], match[2]])
  expect(listed.sort()).toEqual(published.map(({ folder, manifest }) => [manifest.name, folder]).sort())
})

test('the lockfile names no registry', () => {
  expect(readFileSync(join(root, 'package-lock.json'), 'utf8')).not.toMatch(/"resolved": "https?:/)
})

describe.each(published)('the package $folder', ({ folder, manifest, sources }) => {
  test('is named after its folder', () => {
    const name = folder.slice('packages/'.length)
    expect(manifest.name).toBe(name === 'shardloom' || name.startsWith('remark-') ? name : `@shardloom/${name}`)
  })

  test('is ESM without side effects, dist alone, types first', () => {
    expect(manifest).toMatchObject({
      type: 'module',
      sideEffects: false,
      files: ['dist'],
      license: 'Apache-2.0',
      engines: { node: '>=20.19' },
    })
    expect(Object.keys({ ...manifest.exports, ...manifest.bin })).not.toEqual([])
    for (const conditions of Object.values(manifest.exports ?? {})) {
      expect(Object.keys(conditions)).toEqual(['types', 'default'])
    }
  })

  test('has a source for every entry point', () => {
    const files = [
      ...Object.values(manifest.exports ?? {}).map((entry) => entry.default),
      ...Object.values(manifest.bin ?? {}),
    ]
    const expected = files.map((file) => file?.replace('./dist/', `${folder}/src/`).replace(/\.js$/, '.ts'))
    expect(sources).toEqual(expect.arrayContaining(expected))
  })

  test('carries the licence', () => {
    expect(readFileSync(join(root, folder, 'LICENSE'), 'utf8')).toBe(readFileSync(join(root, 'LICENSE'), 'utf8'))
  })

  test('has a README with every section, and an example that is run', () => {
    const readme = readFileSync(join(root, folder, 'README.md'), 'utf8')
    expect(readme).toMatch(new RegExp(`^# \`?${manifest.name}\`?\n\n\\S`))
    const headings = [...readme.matchAll(/^## (.+)$/gm)].map((match) => match[1])
    const required = ['When to use it', 'Install', 'Example', manifest.bin ? 'Commands' : 'API', 'Errors']
    expect(headings.filter((heading) => required.includes(heading ?? ''))).toEqual(required)
    expect(readme).toMatch(/^```(js|ts|sh) example/m)
    expect(readme).toMatch(/^```text output$/m)
  })

  test('has no file over 400 lines', () => {
    const long = sources.map((file) => [file, readFileSync(join(root, file), 'utf8').split('\n').length - 1] as const)
    expect(long.filter(([, lines]) => lines > 400)).toEqual([])
  })

  test('names folders and files for what they do, in kebab-case', () => {
    const wrong = sources.filter((file) => {
      const parts = relative(`${folder}/src`, file).replace(/\.ts$/, '').split('/')
      return parts.some(
        (part) => /^(utils?|helpers?|common|misc)$/.test(part) || !/^[a-z0-9]+([-.][a-z0-9]+)*$/.test(part),
      )
    })
    expect(wrong).toEqual([])
  })
})

/** All files below a folder of the repository, sorted, relative to its root. */
function filesBelow(folder: string): string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .sort()
}

function importsOf(sources: readonly string[]) {
  return sources.flatMap((file) =>
    ts
      .preProcessFile(readFileSync(join(root, file), 'utf8'))
      .importedFiles.map(({ fileName }) => ({ file, specifier: fileName })),
  )
}

function exportedBy(name: string): string[] {
  const manifest = packages.find((candidate) => candidate.manifest.name === name)?.manifest
  return Object.keys(manifest?.exports ?? {}).map((subpath) => name + subpath.slice(1))
}

function packageName(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

function isBuiltin(specifier: string): boolean {
  return specifier.startsWith('node:') || builtinModules.includes(specifier)
}
