import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSpec } from 'shardloom'
import { expect, test } from 'vitest'
import { shardloom, temporaryFolder } from './run-command.js'
import { wordsOf } from './small-search.js'

/** As torchtitan's train_configs have it: the shard degree is what the ranks leave, checkpointing is by operators. */
const job = `[model]
name = "llama3"
flavor = "8B"
[training]
local_batch_size = 1
seq_len = 4096
[parallelism]
data_parallel_shard_degree = -1
[activation_checkpoint]
mode = "selective"
selective_ac_option = "op"
`

function folder(): string {
  const cwd = temporaryFolder()
  writeFileSync(join(cwd, 'tt.toml'), job)
  return cwd
}

const exported = ['export', '--import', 'torchtitan:tt.toml', '--format', 'spec']

test.each([
  [['--dp', '16', '--tp', '4', '--recompute', 'none'], { dp: 16, tp: 4 }],
  [['--set', 'parallel.dp=16'], { dp: 16 }],
  [['--cluster', '{preset: dgx-h100, nodes: 2}', '--tp', '2'], { dp: 8, tp: 2 }],
  [['--cluster', 'dgx-h100', '--set', 'cluster.nodes=2'], { dp: 16 }],
])('what torchtitan leaves to the number of ranks, flags settle: %j', async (flags, parallel) => {
  const { code, out, err } = await shardloom([...exported, ...flags], { cwd: folder() })
  expect([code, err.includes('error')]).toEqual([0, false])
  expect(parseSpec(out)).toMatchObject({ parallel, options: { zero: 3 } })
  expect(out.includes('recompute:')).toBe(!flags.includes('--recompute'))
})

test('what the message says to give is what does', async () => {
  const cwd = folder()
  const { err } = await shardloom(exported, { cwd })
  const text = err.replace(/\s+/g, ' ')
  const [, cluster = ''] = /`--cluster '([^']+)'`/.exec(text) ?? []
  expect(text).toContain('Give `--dp`')
  expect((await shardloom([...exported, '--cluster', cluster], { cwd })).code).toBe(0)
})

test('the command that a search of an import prints simulates what was found', async () => {
  const cwd = folder()
  const asked = ['search', '--import', 'torchtitan:tt.toml', '--cluster', 'dgx-h100', '--ranks', '16', '--workers', '1']
  const choices = ['tp=4', 'pp=1,2', 'cp=1', 'ulysses=1', 'zero=0,3', 'recompute=full'].flatMap((each) => [
    '--choose',
    each,
  ])
  const found = await shardloom([...asked, ...choices, '--top', '1'], { cwd })
  const [, command = ''] = /(shardloom simulate (?:.|\n)+?)\n\s*\n/.exec(`${found.out}\n\n`) ?? []
  const words = wordsOf(command.replace(/\\?\n\s*/g, ' ')).slice(1)
  const [best] = JSON.parse((await shardloom([...asked, ...choices, '--top', '1', '--json'], { cwd })).out).best
  const run = await shardloom([...words, '--json'], { cwd })
  expect([run.code, run.err.includes('error')]).toEqual([0, false])
  const { name } = best
  expect(JSON.stringify(JSON.parse(run.out))).toContain(String(best.metrics['step-time']))
  expect(name).toContain('tp=4')
})

test('settings that nothing reads are all in the documents, and the first few in the text', async () => {
  const names = ['save', 'load', 'lr', 'min-lr', 'train-iters', 'log-interval', 'eval-iters']
  const sizes =
    '--num-layers 2 --hidden-size 64 --num-attention-heads 4 --seq-length 64 --max-position-embeddings 64 --micro-batch-size 1 --global-batch-size 2 --vocab-size 128'
  const text = `megatron: --nproc_per_node 2 ${sizes} ${names.map((name) => `--${name} 1`).join(' ')}`
  const from = ['--import', text, '--cluster', 'dgx-h100']
  const search = ['search', ...from, '--ranks', '2']
  const commands = [['plan', ...from], search, [...search, '--why', 'tp=1,pp=1'], [...search, '--changes']]
  for (const command of commands) {
    const { warnings } = JSON.parse((await shardloom([...command, '--json'])).out)
    const said = warnings.find((warning: string) => warning.includes('that nothing here reads'))
    for (const name of names) expect(said).toContain(`\`${name}\``)
  }
  const { err } = await shardloom(['plan', ...from])
  expect(err.replace(/\s+/g, ' ')).toMatch(/`min-lr` and 3 more, which --json .* lists/)
})
