import type { Names } from './names.js'
import { indexSource, passSource } from './skeleton-source.js'
import { testSource } from './skeleton-test.js'

/** The versions of the tools that a skeleton builds and tests with: those that this repository uses. */
export const tools = { typescript: '^5.9.3', vitest: '^4.1.12' }

/** Every file of a new strategy, by path. `version` is the version of all Shardloom packages. */
export function skeleton(names: Names, version: string): ReadonlyMap<string, string> {
  return new Map([
    ['package.json', json(manifest(names, version))],
    ['tsconfig.json', json(typecheckOptions)],
    ['tsconfig.build.json', json(buildOptions)],
    ['.gitignore', 'dist\nnode_modules\n'],
    ['README.md', readme(names)],
    ['src/index.ts', indexSource(names)],
    [`src/${names.pass}.ts`, passSource(names)],
    [`test/${names.pass}.test.ts`, testSource(names)],
  ])
}

/** A preset that has the dim. */
export function exampleModel(dim: string): string {
  return dim === 'experts' ? 'mixtral-8x7b' : 'llama-3.1-8b'
}

function manifest({ package: name, axis, dim }: Names, version: string) {
  const range = `^${version}`
  const nextMajor = Number(version.split('.')[0]) + 1
  return {
    name,
    version: '0.1.0',
    description: `A Shardloom strategy: the axis ${axis} splits the dim ${dim}`,
    keywords: ['shardloom', 'shardloom-plugin'],
    license: 'UNLICENSED',
    type: 'module',
    sideEffects: false,
    engines: { node: '>=20.19' },
    exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } },
    files: ['dist'],
    scripts: {
      build: 'tsc -p tsconfig.build.json',
      test: 'vitest run',
      typecheck: 'tsc',
      prepack: 'npm run build',
    },
    peerDependencies: { '@shardloom/core': `>=${version} <${nextMajor}.0.0` },
    devDependencies: {
      '@shardloom/cli': range,
      '@shardloom/core': range,
      shardloom: range,
      ...tools,
    },
  }
}

const typecheckOptions = {
  compilerOptions: {
    target: 'ES2022',
    lib: ['ES2023'],
    types: [],
    module: 'NodeNext',
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: true,
    skipLibCheck: true,
    noEmit: true,
  },
  include: ['src', 'test'],
}

const buildOptions = {
  extends: './tsconfig.json',
  compilerOptions: { noEmit: false, declaration: true, rootDir: 'src', outDir: 'dist' },
  include: ['src'],
}

const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`

function readme({ package: name, factory, axis, dim, pass }: Names): string {
  return `# ${name}

A strategy for [Shardloom](https://www.npmjs.com/package/shardloom): the axis \`${axis}\` splits the dim \`${dim}\`. Communication is
derived; none is written here.

| file | what it is |
|---|---|
| \`src/index.ts\` | \`${factory}(options)\`: the plugin |
| \`src/${pass}.ts\` | its pass, \`${axis}/${pass}\` |
| \`test/${pass}.test.ts\` | the laws of the pass, and proofs on 2, 3 and 4 ranks |

## Commands

\`\`\`sh
npm test            # tries the pass and proves plans against one device
npm run typecheck
npm run build       # writes dist/
npx shardloom plan --model ${exampleModel(dim)} --plugin ./dist/index.js --set parallel.${axis}=2
npx shardloom prove --model ${exampleModel(dim)} --plugin ./dist/index.js --set parallel.${axis}=2
\`\`\`

## Options

| option | meaning |
|---|---|
| \`where\` | a selector of the operators that it applies to; default all |

## Licence

This skeleton comes without conditions: it is yours. \`package.json\` says \`UNLICENSED\`, so nobody else may use what you make
of it. Choose a licence before you publish: change that field and add a file LICENSE.
`
}
