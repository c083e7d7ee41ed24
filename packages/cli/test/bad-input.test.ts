import { chmodSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { root, shardloom, temporaryFolder } from './run-command.js'

const config = JSON.parse(readFileSync(join(root, 'examples/llama-3.1-8b/config.json'), 'utf8'))

/** Runs a command that must fail: one error line, at most one help line, no stack. */
async function failure(args: readonly string[], cwd: string) {
  const { code, out, err } = await shardloom(args, { cwd })
  expect(out).toBe('')
  expect(err).toMatch(/^error\[[A-Z_]+\] [^\n]+\n(help: [^\n]+\n)?$/)
  expect(err).not.toMatch(/\n\s+at |node:internal|INTERNAL/)
  const [first = '', second = ''] = err.split('\n')
  return { code, error: first, help: second }
}

async function planWith(files: Readonly<Record<string, string>>, args: readonly string[]) {
  const folder = temporaryFolder()
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return failure(['plan', ...args], folder)
}

const spec = (fields: object) => ({ 'spec.yaml': JSON.stringify({ model: 'llama-3.1-8b', batch: 8, ...fields }) })
const model = (fields: object) => ({ 'config.json': JSON.stringify({ ...config, ...fields }) })

test('a wrong argument names the help of the command that was called', async () => {
  const folder = temporaryFolder()
  for (const args of [
    ['export', '--model', 'tiny', '--level', 'wrong'],
    ['plan', '--model', 'tiny', '--format', 'dot'],
    ['schedule', '--format', 'wrong'],
  ])
    expect((await failure(args, folder)).help).toBe(`help: Try \`shardloom ${args[0]} --help\`.`)
})

describe('a bad config', () => {
  const args = ['--model', './config.json', '--batch', '1']

  test('of an unknown type names the supported ones', async () => {
    const { code, error, help } = await planWith(model({ model_type: 'llamma' }), args)
    expect([code, error]).toEqual([1, expect.stringContaining('UNKNOWN_MODEL_TYPE')])
    expect(`${error} ${help}`).toContain('llama')
  })

  test('of a million layers is refused before they fill memory, with and without a pipeline', async () => {
    for (const more of [[], ['--pp', '2']]) {
      const { code, error } = await planWith(model({ num_hidden_layers: 1_000_000 }), [...args, ...more])
      expect([code, error]).toEqual([1, expect.stringMatching(/MODEL_SIZE.* 1000000 layers/)])
    }
  })

  test('without a field, or with fields that contradict each other, names them', async () => {
    const { hidden_size: _, ...rest } = config
    expect((await planWith({ 'config.json': JSON.stringify(rest) }, args)).error).toContain('hidden_size')
    const both = await planWith(model({ num_key_value_heads: 7 }), args)
    expect(both.error).toContain('num_key_value_heads')
  })

  test.each([
    ['hidden_size', Number.NaN],
    ['hidden_size', -1],
    ['hidden_size', 1e30],
    ['num_hidden_layers', 1.5],
    ['vocab_size', '32k'],
  ])('with %s %s names the field', async (field, value) => {
    const text = JSON.stringify({ ...config, [field]: 'X' }).replace(
      '"X"',
      typeof value === 'string' ? `"${value}"` : String(value),
    )
    const { code, error } = await planWith({ 'config.json': text }, args)
    expect(code).toBe(1)
    expect(error).toMatch(Number.isNaN(value) ? /MODEL_SYNTAX/ : new RegExp(field))
  })

  test('with keys that reach prototypes is refused', async () => {
    const text = JSON.stringify(config).replace('{', '{"__proto__": {"vocab_size": 7},')
    expect((await planWith({ 'config.json': text }, args)).error).toContain('__proto__')
  })

  test('of 100 MB, or binary, or not UTF-8, is refused at once', async () => {
    const folder = temporaryFolder()
    writeFileSync(join(folder, 'big.json'), '{')
    truncateSync(join(folder, 'big.json'), 100_000_000)
    writeFileSync(join(folder, 'weights.json'), Buffer.concat([Buffer.from('PK\u0003'), Buffer.alloc(64)]))
    writeFileSync(join(folder, 'latin.json'), Buffer.from([0x7b, 0xe9, 0x7d]))
    expect((await failure(['plan', '--model', './big.json'], folder)).error).toBe(
      'error[FILE_SIZE] ./big.json has 100 MB; at most 16 MB are read.',
    )
    for (const name of ['weights.json', 'latin.json']) {
      expect((await failure(['plan', '--model', `./${name}`], folder)).error).toContain('FILE_BINARY')
    }
    expect((await failure(['plan', './weights.json'], folder)).error).toContain('FILE_BINARY')
    expect((await failure(['plan', '--model', '/dev/zero'], folder)).error).toContain('FILE_BINARY')
  })

  test('that is a folder, or is not there, names what is', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'llama'))
    writeFileSync(join(folder, 'llama', 'config.json'), JSON.stringify(config))
    expect(await failure(['plan', '--model', './llama/'], folder)).toMatchObject({
      code: 1,
      help: 'help: Did you mean llama/config.json?',
    })
    expect((await failure(['plan', '--model', './llama/confg.json'], folder)).help).toBe(
      'help: Did you mean llama/config.json?',
    )
    expect((await failure(['plan', './nothing/spec.yaml'], folder)).error).toContain('FILE_MISSING')
    expect((await failure(['plan', './llama/config.json'], folder)).help).toBe('help: Use --model ./llama/config.json.')
    expect((await failure(['plan', './llama/config.json/x'], folder)).error).toContain('FILE_MISSING')
  })
})

describe('a bad spec', () => {
  test.each([
    [{ parallel: { tp: 3 } }, 'INDIVISIBLE', /Use 1, 2/],
    [{ parallel: { dp: 3 } }, 'INDIVISIBLE', /Use batch 6 or 9, or dp 1, 2, 4 or 8/],
    [{ seq: -1 }, 'SPEC_VALUE', /Give|^/],
    [{ seq: 1e300 }, 'SPEC_VALUE', /^/],
    [{ parallel: { tp: 2 ** 31, dp: 8 } }, 'MESH_SIZE', /at most/],
    [{ sequ: 5 }, 'SPEC_KEY', /Did you mean `seq`/],
    [{ engine: 'usual' }, 'SPEC_KEY', /Did you mean `options\.engine`/],
    [{ options: { engine: { blockin: ['dp'] } } }, 'SPEC_KEY', /Did you mean `options\.engine\.blocking`/],
    [{ parallel: { tpp: 5 } }, 'SPEC_KEY', /Did you mean `parallel.tp`/],
    [{ parallel: { pp: 99 } }, 'PIPELINE', /Use at most 32 chunks/],
    [{ model: 'llama-3.1-8' }, 'UNKNOWN_PRESET', /Did you mean `llama-3.1-8b`/],
    [{ plugins: ['./none.js'] }, 'PLUGIN', /ES module/],
    [{ options: { tp: { where: { layers: '5-2' } } } }, 'LAYER_RANGE', /Write/],
  ])('%j', async (fields, code, help) => {
    const found = await planWith(spec(fields), ['spec.yaml'])
    expect(found.code).toBe(1)
    expect(found.error).toContain(`error[${code}]`)
    expect(found.help).toMatch(help)
  })

  test('NaN, and what is no YAML', async () => {
    expect((await planWith({ 'spec.yaml': 'model: tiny\nbatch: .nan\n' }, ['spec.yaml'])).error).toContain(
      '`batch` is NaN',
    )
    expect((await planWith({ 'spec.yaml': 'model: [tiny\n' }, ['spec.yaml'])).error).toContain('SPEC_SYNTAX')
    expect((await planWith({ 'spec.yaml': '' }, ['spec.yaml'])).error).toContain('`model` is missing')
  })

  test('the same from flags', async () => {
    expect((await planWith({}, ['--model', 'tiny', '--batch', 'many'])).error).toContain('`batch` is "many"')
    expect((await planWith({}, ['--model', 'tiny', '--batch', ''])).error).toContain('`batch` is ""')
    expect((await planWith({}, ['--model', 'tiny', '--batch', '1e400'])).error).toContain('`batch` is "1e400"')
    expect((await planWith({}, ['--model', 'tiny', '--pp', '99'])).error).toContain('PIPELINE')
    expect((await planWith({}, ['--model', 'tiny', '--set', '__proto__.x=1'])).error).toContain('SPEC_KEY')
    expect((await planWith({}, ['--model', 'tiny', '--rank', '9', '--batch', '1', '--seq', '8'])).error).toContain(
      'There is no rank 9',
    )
  })

  test('a plugin that breaks is named', async () => {
    const syntax = { 'bad.mjs': 'export default {' }
    expect((await planWith(syntax, ['--model', 'tiny', '--plugin', './bad.mjs'])).error).toContain('./bad.mjs')
    const fails = {
      'bad.mjs':
        "export default { name: 'bad', passes: [{ name: 'bad/run', phase: 'place', run() { throw new Error('oh') } }] }",
    }
    expect((await planWith(fails, ['--model', 'tiny', '--seq', '8', '--plugin', './bad.mjs'])).error).toContain(
      'The pass `bad/run` failed: oh',
    )
  })

  test('a name full of markup and line breaks stays on one line', async () => {
    const name = 'a"\n<script>\u001b[31m%%{init}'
    expect((await planWith(spec({ model: name }), ['spec.yaml'])).error).toContain('UNKNOWN_PRESET')
    expect((await planWith(spec({ [name]: 1 }), ['spec.yaml'])).error).toContain('SPEC_KEY')
  })
})

test.each([
  [
    ['plan', '--model', 'tinny'],
    1,
    { code: 'UNKNOWN_PRESET', subject: 'model', help: expect.stringContaining('`tiny`') },
  ],
  [['verify', '--model', './none.json'], 1, { code: 'FILE_MISSING' }],
  [['explain', 'x', '--model', 'tiny', '--seq', '8'], 1, { code: 'UNKNOWN_NODE', subject: 'x' }],
  [['plan', '--nodes', '2'], 2, { code: 'USAGE', help: 'Try `shardloom plan --help`.' }],
  [['plan', '--modle', 'tiny'], 2, { code: 'USAGE', help: 'Did you mean --model?' }],
])('with --json an error is an object: %j', async (args, code, error) => {
  const run = await shardloom([...args, '--json'])
  expect([run.code, run.out]).toEqual([code, ''])
  expect(JSON.parse(run.err).error).toMatchObject({ message: expect.any(String), ...error })
})

describe('wrong usage', () => {
  test.each([
    [['paln'], /plan/],
    [['plan'], /nothing to plan/],
    [['plan', 'a.yaml', 'b.yaml'], /[Tt]oo many arguments/],
    [['plan', '--modle', 'tiny'], /--modle/],
    [['plan', '--batch'], /argument missing/],
    [['plan', '--model', 'tiny', '--rank', 'x'], /whole number/],
    [['plan', '--model', 'tiny', '--set', 'x'], /field=value/],
    [['export', '--model', 'tiny', '--format', 'docx'], /json, dot, mermaid, /],
    [['export', '--model', 'tiny', '--unroll', 'layers'], /layer, microbatch/],
    [['export', '--model', 'tiny', '--ranks', '3..1'], /0\.\.3/],
    [['export', '--model', 'tiny', '--ranks', '0..1'], /--unroll rank/],
    [['explain', '--model', 'tiny'], /no node/],
  ])('%j returns 2', async (args, message) => {
    const { code, error, help } = await failure(args, temporaryFolder())
    expect(code).toBe(2)
    expect(`${error} ${help}`).toMatch(message)
  })

  test.each([
    [['plan'], 'plan'],
    [['export', '--format', 'dot'], 'export'],
    [['verify'], 'verify'],
    [['prove'], 'prove'],
    [['explain', 'x'], 'explain NODE'],
    [['explain', '--passes'], 'explain --passes'],
  ])('%j without a spec suggests the same command', async (args, called) => {
    const { code, help } = await failure(args, temporaryFolder())
    expect([code, help]).toEqual([2, `help: Try \`shardloom ${called} --model llama-3.1-8b --tp 2\`.`])
  })
})

describe('an output that cannot be written', () => {
  const args = ['export', '--model', 'tiny', '--seq', '8', '--batch', '1', '--out']

  test('is named, and nothing half-written remains', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'folder'))
    writeFileSync(join(folder, 'file'), 'mine')
    expect((await failure([...args, './none/plan.json'], folder)).error).toBe(
      'error[OUTPUT] Cannot write ./none/plan.json: its folder does not exist.',
    )
    expect((await failure([...args, './folder'], folder)).error).toContain('it is a folder')
    expect((await failure([...args, './file/plan.json'], folder)).error).toContain('its folder is a file')
    expect(readdirSync(folder).sort()).toEqual(['file', 'folder'])
  })

  test.skipIf(process.platform !== 'linux')(
    'is refused on a full disk, and what stood there before still stands',
    async () => {
      expect((await failure([...args, '/dev/full'], temporaryFolder())).error).toBe(
        'error[OUTPUT] Cannot write /dev/full: the disk is full.',
      )
    },
  )

  test('is refused where the user may not write', async () => {
    const folder = temporaryFolder()
    chmodSync(folder, 0o500)
    // Permissions do not stop root, who may not make files in /sys either.
    const target = process.getuid?.() === 0 ? '/sys/plan.json' : './plan.json'
    expect((await failure([...args, target], folder)).error).toMatch(/permission denied|read-only/)
    chmodSync(folder, 0o700)
  })
})
