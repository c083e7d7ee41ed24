import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { plan, presetNames, programFromJson, summarise } from 'shardloom'
import { describe, expect, test } from 'vitest'
import { command, root, shardloom, temporaryFolder } from './run-command.js'

const flags = ['--model', 'llama-3.1-8b', '--tp', '2', '--dp', '2', '--batch', '8']

async function document(args: readonly string[]) {
  const { code, out, err } = await shardloom([...args, '--json'])
  expect(err).toBe('')
  return { code, value: JSON.parse(out) }
}

describe('shardloom plan', () => {
  test('prints within 80 columns what the plan says, in words and glyphs', async () => {
    for (const spec of ['llama-3.1-8b', 'llama-3.1-405b', 'decode', 'moe']) {
      const { code, out, err } = await shardloom(['plan', `examples/${spec}.yaml`])
      expect([code, err], spec).toEqual([0, ''])
      expect(
        out.split('\n').filter((line) => [...line].length > 80),
        spec,
      ).toEqual([])
      expect(out, spec).not.toContain('\u001b')
      expect(out).toMatch(/^ {2}conventions {2}attention flash, causal FLOPs whole, bf16/m)
      expect(out).toMatch(/^ {2}⬡ {5}all-reduce · tp /m)
    }
  })

  test('names the layers of a stage by their depth', async () => {
    const of = async (args: readonly string[]) =>
      (await shardloom(['plan', '--batch', '8', ...args])).out.replace(/\s+/g, ' ')
    const even = await of(['--model', 'llama-3.1-8b', '--pp', '4', '--schedule', 'dualpipe'])
    expect(even).toContain('in each of 8 layers 0 B outside')
    expect(even.split(' next ')[0]).not.toMatch(/layer-(enter|leave)/)
    expect(await of(['--model', 'deepseek-v3', '--seq', '4096'])).toMatch(
      /in each of 3 layers \(0–2\) \S+ \wB in each of 58 layers \(3–60\)/,
    )
  })

  test('--json is the summary of the front door', async () => {
    const { value } = await document(['plan', ...flags, '--rank', '3'])
    const spec = { model: 'llama-3.1-8b', parallel: { tp: 2, dp: 2 }, batch: 8 }
    expect(value).toEqual(JSON.parse(JSON.stringify(summarise(await plan(spec), { rank: 3 }))))
  })

  test('flags override the fields of a spec', async () => {
    const { value } = await document([
      'plan',
      'examples/llama-3.1-8b.yaml',
      '--tp',
      '4',
      '--phase',
      'prefill',
      '--attention',
      'materialised',
    ])
    expect(value).toMatchObject({
      model: { name: 'llama-3.1-8b', parameters: 8_030_261_248 },
      mesh: { tp: 4, dp: 2 },
      phase: 'prefill',
      conventions: { attention: 'materialised' },
    })
  })

  test('reads a spec from standard input, and nested fields from --set', async () => {
    const spec = 'model: tiny\nbatch: 4\nseq: 16\nparallel: {tp: 2}\n'
    const { code, out } = await shardloom(['plan', '-', '--json', '--set', 'options.tp.where={module: ffn}'], {
      input: spec,
    })
    expect(code).toBe(0)
    const reasons = JSON.parse(out).communication.map((row: { reason: string }) => row.reason)
    expect(reasons.join()).toContain('ffn/down')
    expect(reasons.join()).not.toContain('attention/out')
  })

  test('--fold counts the rolled program', async () => {
    const whole = await document(['plan', ...flags])
    const folded = await document(['plan', ...flags, '--fold'])
    expect(folded.value.nodes.total).toBeLessThan(whole.value.nodes.total / 10)
  })

  test('names the next command, which works as printed', async () => {
    const { out } = await shardloom(['plan', ...flags])
    const call = out.slice(out.indexOf('next  ') + 'next  '.length, out.indexOf('      all others: '))
    const shell = `shardloom() { "${process.execPath}" "${command}" "$@"; }\n${call}`
    const { status, stdout } = spawnSync('sh', ['-c', shell], { cwd: root, encoding: 'utf8' })
    expect(status).toBe(0)
    expect(stdout).toContain('is a partial sum over tp')
  })

  test('breaks the next command between flags only, and leaves it out where the spec cannot be read again', async () => {
    const many = ['--tp', '2', '--dp', '2', '--batch', '8', '--phase', 'prefill', '--attention', 'materialised']
    const { out } = await shardloom(['plan', '--model', 'llama-3.1-8b', ...many, '--causal', 'halved'])
    const lines = out.slice(out.indexOf('next  ')).split('\n')
    expect(lines.filter((line) => line.endsWith(' \\')).length).toBeGreaterThan(1)
    expect(lines.filter((line) => /--[a-z]+ \\$/.test(line))).toEqual([])
    expect((await shardloom(['plan', '-'], { input: 'model: tiny\nbatch: 1\n' })).out).not.toContain('next  ')
  })

  test('says what all ranks repeat, in whole bytes and whole reasons', async () => {
    const { out } = await shardloom(['plan', '--model', 'llama-3.1-405b', '--tp', '16', '--batch', '8'])
    expect(out).toMatch(/^All 16 ranks\n {2}parameters {2}410 G held, of which copies 1\.0 %$/m)
    expect(out).toMatch(/^ {2}compute {5}176 PFLOP, of which replicated 1\.0 %/m)
    expect(out).toMatch(/^ +attention\/context\.value is partial over tp\.1;\n +attention\/v\.input reads it whole, /m)
    expect(out).not.toMatch(/\d\.\d+ B$/m)
    expect(out).not.toContain('…')
    const cache = (await shardloom(['plan', 'examples/decode.yaml'])).out
    expect(cache).toMatch(/^ {2}memory {6}reads 117 GB, of which KV cache 43\.0 GB$/m)
  })

  test('names uneven shares, and the ranks that do most and least', async () => {
    const { out } = await shardloom(['plan', '--model', 'tiny', '--tp', '3', '--uneven', 'ragged', '--batch', '1'])
    expect(out).toMatch(/^ {2}conventions .*,\n {15}uneven ragged$/m)
    expect(out).toMatch(/^ {2}per rank {4}from .* on rank 2 to .* on rank 0$/m)
  })

  test('warns on standard error, and in the document', async () => {
    const args = ['plan', '--model', 'tiny', '--batch', '2', '--tp', '2', '--set', 'options.tp.where.module=fnn']
    const { code, err } = await shardloom(args)
    expect(code).toBe(0)
    expect(err).toBe(
      "warning `tp`'s selector {module: fnn} matches no operator; did you mean `module: ffn`?\n" +
        'warning axis `tp` splits nothing: its 2 ranks repeat the same work\n',
    )
    expect((await document(args)).value.warnings).toHaveLength(2)
  })

  test('writes ASCII where the terminal shows nothing else', async () => {
    const { out } = await shardloom(['plan', ...flags], { env: { LC_ALL: 'C' } })
    expect(out).toMatch(/^[\n -~]*$/)
    expect(out).toMatch(/^ {2}x {5}all-reduce \. tp /m)
  })

  test.each([
    [['prove', ...flags], /layers 32 -> 2/],
    [['verify', ...flags], /Every rule holds/],
    [['explain', 'forward/layer/ffn/down/all-reduce(tp)', ...flags], /microbatch > layer/],
    [['explain', '--passes', ...flags], /^ +pass .* - /m],
    [['plan', '--model', `no-${'x'.repeat(80)}`], /x\.\.\./],
  ])('%j has an ASCII form of every glyph', async (args, expected) => {
    const { out, err } = await shardloom(args, { env: { LC_ALL: 'C' } })
    expect(out + err).toMatch(/^[\n -~]*$/)
    expect(out + err).not.toContain('?')
    expect(out + err).toMatch(expected)
  })

  test('a name full of escapes stays one plain line', async () => {
    const folder = temporaryFolder()
    const name = 'evil\u001b[31m\n"<script>%%{init}\u202e'
    writeFileSync(
      join(folder, 'config.json'),
      JSON.stringify({
        ...JSON.parse(readFileSync(join(root, 'examples/llama-3.1-8b/config.json'), 'utf8')),
        _name_or_path: name,
      }),
    )
    mkdirSync(join(folder, 'a\u001b[31mb'))
    writeFileSync(join(folder, 'a\u001b[31mb', 'config.json'), readFileSync(join(folder, 'config.json')))
    const { code, out } = await shardloom(['plan', '--model', './a\u001b[31mb/config.json', '--batch', '1'], {
      cwd: folder,
    })
    expect(code).toBe(0)
    expect(out).not.toContain('\u001b')
  })
})

describe('shardloom verify', () => {
  test('says of every rule that it holds', async () => {
    const { code, value } = await document(['verify', ...flags])
    expect(code).toBe(0)
    expect(value).toMatchObject({ schema: 'shardloom.verify/1', ok: true })
    expect(value.rules.map((each: { rule: unknown }) => each.rule)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    const { out } = await shardloom(['verify', ...flags])
    expect(out).toContain('Every rule holds.')
    expect(out.split('\n').filter((line) => line.length > 80)).toEqual([])
  })

  test('returns 3 when a plugin’s rule is violated', async () => {
    const folder = temporaryFolder()
    const rule = `{ name: 'never', check: () => ({ checked: 1, violations: [{ node: 'x', message: 'It never holds.', help: 'Give up.' }] }) }`
    writeFileSync(join(folder, 'never.mjs'), `export default { name: 'never', verify: [${rule}] }`)
    const { code, out } = await shardloom(['verify', ...flags, '--plugin', './never.mjs'], { cwd: folder })
    expect(code).toBe(3)
    expect(out).toContain('Rule never: It never holds.')
    expect(out).toContain('The plan violates a rule.')
  })
})

describe('shardloom explain', () => {
  test('says why a communication node exists', async () => {
    const { value } = await document(['plan', ...flags])
    const node = value.communication.find((row: { region: string }) => row.region === 'microbatch/layer').nodes[1]
    const { code, out } = await shardloom(['explain', node, ...flags])
    expect(code).toBe(0)
    expect(out).toContain('is a partial sum over tp, since tp')
    expect((await document(['explain', node, ...flags])).value).toMatchObject({ schema: 'shardloom.explain/1', node })
  })

  test('keeps to 80 columns, and names whole tensors and what a rank holds', async () => {
    const large = ['--model', 'llama-3.1-405b', '--tp', '16', '--batch', '8']
    const nodes = ['forward/layer/attention/context', 'backward/layer/attention/context.value/all-reduce(tp.1)']
    const runs = await Promise.all(nodes.map((node) => shardloom(['explain', node, ...large])))
    const [compute = '', communication = ''] = runs.map(({ out }) => out)
    for (const out of [compute, communication]) {
      expect(out.split('\n').filter((line) => [...line].length > 80)).toEqual([])
      expect(out).toContain('tp.1 (degree 2) splits the query heads that share a KV head.')
    }
    expect(compute).toMatch(/^ {7}whole batch 1 × seq 8192 × kv_heads 8 × head_dim 128;$/m)
    expect(compute).toMatch(/^ {7}on this rank batch 1 × seq 8192 × kv_heads 1 × head_dim 128;$/m)
  })

  test('takes node and spec in either order', async () => {
    const [node, spec] = ['forward/layer/ffn/down', 'examples/llama-3.1-8b.yaml']
    expect((await shardloom(['explain', node, spec])).out).toBe((await shardloom(['explain', spec, node])).out)
  })

  test('--passes says what each pass changed', async () => {
    const { code, out } = await shardloom(['explain', 'examples/llama-3.1-8b.yaml', '--passes'])
    expect(code).toBe(0)
    expect(out).toMatch(/core\/communicate +communicate/)
    expect(out.split('\n').filter((line) => line.length > 80)).toEqual([])
  })
})

describe('shardloom export', () => {
  test('writes the whole program as JSON, which reads back', async () => {
    const { code, out } = await shardloom(['export', ...flags])
    expect(code).toBe(0)
    expect(programFromJson(JSON.parse(out)).mesh.world).toBe(4)
  })

  test('writes each format to a file, whole, and leaves nothing else', async () => {
    const folder = temporaryFolder()
    const starts = { json: /^\{/, dot: /^digraph /, mermaid: /^flowchart /m }
    for (const [format, start] of Object.entries(starts)) {
      const { code, out } = await shardloom(
        ['export', ...flags, '--format', format, '--level', 'module', '--out', `plan.${format}`],
        { cwd: folder },
      )
      expect([code, out]).toEqual([0, ''])
      expect(readFileSync(join(folder, `plan.${format}`), 'utf8')).toMatch(start)
    }
    expect(readdirSync(folder).sort()).toEqual(['plan.dot', 'plan.json', 'plan.mermaid'])
  })

  test('unrolls what is asked for, and says when a coarser picture is drawn', async () => {
    const view = JSON.parse((await shardloom(['export', ...flags, '--level', 'layer', '--unroll', 'layer'])).out)
    expect(view).toMatchObject({ schema: 'shardloom.view/1', level: 'layer' })
    expect(view.nodes.length).toBeGreaterThan(64)
    const { err } = await shardloom(['export', ...flags, '--format', 'dot', '--unroll', 'layer'])
    expect(err).toMatch(/^note: .*shown/)
  })

  test('--json says what was written, or holds it', async () => {
    const folder = temporaryFolder()
    const args = ['export', ...flags, '--format', 'mermaid', '--json']
    const { out } = await shardloom([...args, '--out', 'plan.mmd'], { cwd: folder })
    expect(JSON.parse(out)).toMatchObject({ schema: 'shardloom.export/1', format: 'mermaid', out: 'plan.mmd' })
    expect(JSON.parse((await shardloom(args)).out).text).toBe(readFileSync(join(folder, 'plan.mmd'), 'utf8'))
  })
})

describe('help', () => {
  test.each(['plan', 'export', 'verify', 'explain', 'schedule', 'simulate'])(
    'of %s ends with an example that works',
    async (name) => {
      const { code, out } = await shardloom([name, '--help'])
      expect(code).toBe(0)
      expect(out.split('\n').filter((line) => line.length > 80)).toEqual([])
      const example = /Example:\n {2}shardloom (.*)\n/.exec(out)?.[1] ?? ''
      expect((await shardloom(example.split(' '))).code).toBe(0)
    },
  )

  test('is what no command at all prints', async () => {
    const { code, out } = await shardloom([])
    expect([code, out]).toEqual([0, (await shardloom(['--help'])).out])
  })

  test('of plan names every preset and every phase', async () => {
    const { out } = await shardloom(['plan', '--help'])
    for (const name of presetNames()) expect(out).toContain(name)
    expect(out.replace(/\s+/g, ' ')).toContain('(training, prefill, decode, serving)')
  })

  test('of simulate says of each flag of serving what it is, and what it is in vllm where nobody says', async () => {
    const { out } = await shardloom(['simulate', '--help'])
    const told = out.slice(out.indexOf('Flags of the phase serving')).replace(/\s+/g, ' ')
    const of = (flag: string) => new RegExp(`--serving-${flag} [^ ]+ (.*?) --serving-`).exec(told)?.[1] ?? ''
    // What vLLM's documentation of its engine arguments says: 8192 batched tokens and 1024 sequences on devices of 70 GB and more, blocks of 16, 0.9 of the memory.
    expect(of('scheduler-max-tokens')).toMatch(/^tokens .* of vllm 8192$/)
    expect(of('scheduler-max-sequences')).toMatch(/^sequences .* of vllm 1024$/)
    expect(of('scheduler-block-tokens')).toMatch(/^tokens .* of vllm 16$/)
    expect(of('memory-fraction')).toMatch(/^share .* of vllm 0\.9$/)
    expect(of('host-step')).toMatch(/^seconds .* of vllm 0\.00025$/)
    for (const phase of ['prefill', 'decode']) expect(told).toContain(`--serving-${phase}-<field>`)
    expect((await shardloom(['plan', '--help'])).out).toContain('--serving-… flags see `shardloom simulate --help`')
  })

  test('of search lists what can be chosen', async () => {
    const { out } = await shardloom(['search', '--help'])
    expect(out.split('\n').filter((line) => line.length > 80)).toEqual([])
    const listed = (phases: string) =>
      new RegExp(`Choices for --choose[^:]* in ${phases}:\\n(.*?)\\.\\n\\n`, 's').exec(out)?.[1]?.trim().split(/,\s+/)
    const [steps, serving] = [listed('training, prefill and decode'), listed('serving')]
    expect(steps).toEqual(expect.arrayContaining(['tp', 'order', 'microbatch', 'split', 'ranks', 'zero', 'tp.overlap']))
    expect(serving).toEqual(expect.arrayContaining(['pools', 'clients', 'prefill.tp']))
  })

  test('--version is that of the package', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'packages/cli/package.json'), 'utf8'))
    expect((await shardloom(['--version'])).out).toBe(`${version}\n`)
  })
})
