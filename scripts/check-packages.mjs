/** `npm run check:packages`: publint, "are the types wrong" and an empty bare import for everything that we publish. */
import { join } from 'node:path'
import { build } from 'esbuild'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { publishablePackages, root, runTool } from './workspace.mjs'

for (const { folder, manifest } of publishablePackages()) {
  const pkgDir = join(root, folder)
  const { messages } = await publint({ pkgDir, level: 'warning', strict: true, pack: 'npm' })
  const problems = messages.map((message) => formatMessage(message, manifest))

  if (manifest.exports) {
    const status = runTool('@arethetypeswrong/cli/dist/index.js', [
      '--pack',
      pkgDir,
      '--profile',
      'esm-only',
      '--quiet',
    ])
    if (status !== 0) problems.push(`attw found wrong types; run: npx attw --pack ${folder} --profile esm-only`)
    const left = await bareImport(manifest.name)
    if (left !== '') problems.push(`a bare import bundles to ${left.length} characters instead of nothing`)
  }

  console.log(`${problems.length === 0 ? 'ok  ' : 'FAIL'} ${manifest.name}`)
  for (const problem of problems) console.log(`     ${problem}`)
  if (problems.length > 0) process.exitCode = 1
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
