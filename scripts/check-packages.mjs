/** `npm run check:packages`: publint, "are the types wrong" and an empty bare import for everything that we publish. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core'
import { problemKindInfo } from '@arethetypeswrong/core/problems'
import { build } from 'esbuild'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { packAll, publishablePackages, root } from './workspace.mjs'

/** How nobody resolves packages that are ES modules alone: what goes wrong there is no problem. */
const unused = ['node10', 'node16-cjs']

const folder = mkdtempSync(join(tmpdir(), 'shardloom-packages-'))
try {
  const tarballs = packAll(folder)
  for (const { manifest } of publishablePackages()) {
    const problems = await problemsOf(manifest, new Uint8Array(readFileSync(tarballs[manifest.name])))
    console.log(`${problems.length === 0 ? 'ok  ' : 'FAIL'} ${manifest.name}`)
    for (const problem of problems) console.log(`     ${problem}`)
    if (problems.length > 0) process.exitCode = 1
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function problemsOf(manifest, tarball) {
  const { messages } = await publint({ level: 'warning', strict: true, pack: { tarball: tarball.buffer } })
  const problems = messages.map((message) => formatMessage(message, manifest))
  if (!manifest.exports) return problems
  const left = await bareImport(manifest.name)
  if (left !== '') problems.push(`a bare import bundles to ${left.length} characters instead of nothing`)
  return [...problems, ...(await typeProblems(tarball))]
}

/** What is wrong with the types of a packed package, where they are read as a user's compiler does. */
async function typeProblems(tarball) {
  const { types, problems } = await checkPackage(createPackageFromTarballData(tarball))
  if (!types) return ['it has no types']
  return problems
    .filter(({ resolutionKind }) => !unused.includes(resolutionKind))
    .map(({ trace: _, ...problem }) => `${problemKindInfo[problem.kind].title}: ${JSON.stringify(problem)}`)
}

/** What a bundler keeps of `import 'name'`. */
async function bareImport(name) {
  const { outputFiles } = await build({
    stdin: { contents: `import ${JSON.stringify(name)}`, resolveDir: root },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'node',
    logLevel: 'error',
    logOverride: { 'ignored-bare-import': 'silent' },
  })
  return outputFiles[0].text.trim()
}
