import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import rehypeStringify from 'rehype-stringify'
import remarkParse from 'remark-parse'
import remarkRehype from 'remark-rehype'
import remarkShardloom, { type BlockOptions } from 'remark-shardloom'
import { unified } from 'unified'
import { describe, expect, test } from 'vitest'

const page = (block: string) => `# A page\n\nBefore.\n\n\`\`\`shardloom\n${block}\n\`\`\`\n\nAfter.\n`
const tiny = 'model: tiny\nbatch: 4\nseq: 16\nparallel: {tp: 2}'

/** What a pipeline of remark makes of a page. */
async function htmlOf(markdown: string, options: BlockOptions = { cache: false }, path = 'docs/page.md') {
  const file = await unified()
    .use(remarkParse)
    .use(remarkShardloom, options)
    .use(remarkRehype)
    .use(rehypeStringify)
    .process({ value: markdown, path })
  return { html: String(file), messages: file.messages.map(String) }
}

const folder = () => mkdtempSync(join(tmpdir(), 'shardloom-'))

describe('a block of a page', () => {
  test('becomes a picture in its place, whose communication leads to its reason', async () => {
    const { html } = await htmlOf(page(`${tiny}\nview: dag\ncaption: One <layer>`))
    expect(html.indexOf('Before')).toBeLessThan(html.indexOf('<svg'))
    expect(html.indexOf('</svg>')).toBeLessThan(html.indexOf('After'))
    expect(html).not.toContain('<pre')
    expect(html).toMatch(/<figcaption>One (&#x3C;|&lt;)layer/)
    const targets = [...html.matchAll(/<a href="#([^"]+)"/g)].map(([, id]) => id)
    expect(targets.length).toBeGreaterThan(5)
    for (const id of targets) expect(html).toContain(`<li id="${id}">`)
    expect(html).toContain('partial over')
  })

  test('of communication is a table, of Mermaid a block for whoever draws it', async () => {
    const { html } = await htmlOf(page(`${tiny}\nview: table`))
    expect(html).toContain('<th style="text-align:left">Communication</th>')
    expect(html).toContain('all-reduce · tp')
    expect((await htmlOf(page(`${tiny}\nformat: mermaid`))).html).toMatch(
      /<pre><code class="language-mermaid">[\s\S]*flowchart/,
    )
  })

  test('of two specs shows both, and what changes', async () => {
    const block =
      'file: plan.yaml\nview: dag\nlevel: module\nbefore: {parallel: {tp: 1}}\nafter: {parallel: {tp: 2}}\nexplain: false'
    const cwd = folder()
    writeFileSync(join(cwd, 'plan.yaml'), 'model: llama-3.1-8b\ncluster: dgx-h100\nbatch: 4\nseq: 1024\n')
    const { html } = await htmlOf(page(block), { root: cwd, cache: false }, join(cwd, 'page.md'))
    expect(html.match(/<svg/g)).toHaveLength(2)
    expect(html).toContain('<strong>before</strong>')
    // Llama 3.1 8B has 8.03 G parameters of two bytes; tp 2 halves all but the gains of norms.
    expect(html).toMatch(/parameters per rank<\/td><td[^>]*>16\.1.GB<\/td><td[^>]*>8\.03.GB<\/td><td[^>]*>−50\.0.%/)
    expect(html).toMatch(/sends per rank<\/td><td[^>]*>0.?B<\/td>/)
    expect(html).toMatch(/<td[^>]*>step<\/td>/)
  })

  test('pages with the same block twice have each id once', async () => {
    const { html } = await htmlOf(`${page(tiny)}\n${page(tiny)}`)
    const ids = [...html.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('texts from outside stay texts', async () => {
    const { html } = await htmlOf(page(`${tiny}\nalt: '"><script>x</script>'\ncaption: '<img src=x onerror=y>'`))
    expect(html).not.toMatch(/<script|<img/)
  })

  test('what a plan warns of is a message of the file', async () => {
    const { messages } = await htmlOf(page('model: mixtral-8x7b\nbatch: 1\nseq: 64000\nview: table'))
    expect(messages.join()).toMatch(/page\.md:5.*made for at most 32,768/)
  })
})

describe('errors name the line of the page', () => {
  const lines = (text: string) => `one\n\ntwo\n\n\`\`\`shardloom\n${text}\n\`\`\`\n` // the block's first line is the sixth
  test.each([
    ['model: tiny\nparallel:\n  tp: 3', /page\.md:8: /],
    ['model: tiny\nbatch: 4\nparallel: {tp: 2', /page\.md.*line 8/],
    ['model: tiny\nveiw: dag', /page\.md:7: .*veiw/],
    ['model: tiny\nview: dga', /page\.md:7: .*dga/],
    ['model: tiny\nview: timeline\nlevel: module', /page\.md:8: .*changes nothing/],
    ['model: tiny\nview: table\nexplain: false', /page\.md:8: .*changes nothing/],
    ['model: tiny\nformat: mermaid\nalt: x', /page\.md:8: .*changes nothing/],
    ['model: tiny\nview: timeline', /page\.md:6: .*cluster/i],
    ['model: tiny\nphase: serving', /page\.md:7: .*two programs/],
    ['file: ../../../etc/passwd', /page\.md:6: .*(outside|no file)/],
    ['file: nothing.yaml', /page\.md:6: There is no file nothing\.yaml/],
    ['model: tiny\nbefore: {parallel: {tp: 2}}', /page\.md:7: .*two sides/],
    ['- model', /page\.md:6: .*list/],
  ])('%j', async (block, message) => {
    await expect(htmlOf(lines(block))).rejects.toThrow(message)
  })

  test('an option that there is not', async () => {
    await expect(htmlOf('text', { roots: '.' } as BlockOptions)).rejects.toThrow('no option `roots`')
  })
})

test('of a file that holds a text alone says what a spec looks like', async () => {
  const cwd = folder()
  writeFileSync(join(cwd, 'words.yaml'), 'llama\n')
  const rendered = htmlOf(page('file: words.yaml'), { root: cwd, cache: false }, join(cwd, 'page.md'))
  await expect(rendered).rejects.toMatchObject({
    code: 'SPEC_VALUE',
    message: expect.stringContaining('words.yaml is no spec: it holds a string'),
    help: expect.stringContaining('`model: llama-3.1-8b`'),
  })
})

test('files outside of the root are not read, through a link neither', async () => {
  const cwd = folder()
  writeFileSync(join(cwd, 'spec.yaml'), tiny)
  const inside = mkdtempSync(join(cwd, 'docs-'))
  const { symlinkSync } = await import('node:fs')
  symlinkSync(join(cwd, 'spec.yaml'), join(inside, 'link.yaml'))
  for (const path of ['../spec.yaml', 'link.yaml', join(cwd, 'spec.yaml')])
    await expect(
      htmlOf(page(`file: ${path}`), { root: inside, cache: false }, join(inside, 'page.md')),
    ).rejects.toThrow('outside')
})

test('results are kept by content: the same text and files, the same picture; another file, another', async () => {
  const cwd = folder()
  const cache = join(cwd, 'cache')
  const spec = (tp: number) => writeFileSync(join(cwd, 'plan.yaml'), `model: tiny\nbatch: 4\nparallel: {tp: ${tp}}`)
  const make = async () =>
    (await htmlOf(page('file: plan.yaml\nview: table'), { root: cwd, cache }, join(cwd, 'p.md'))).html
  spec(2)
  const first = await make()
  const [entry = ''] = readdirSync(cache)
  writeFileSync(
    join(cache, entry),
    (await import('node:fs')).readFileSync(join(cache, entry), 'utf8').replaceAll('all-reduce', 'from the cache'),
  )
  expect(await make()).toBe(first.replaceAll('all-reduce', 'from the cache'))
  spec(1)
  expect(await make()).not.toContain('from the cache')
})
