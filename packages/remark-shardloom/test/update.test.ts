import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import rehypeStringify from 'rehype-stringify'
import remarkParse from 'remark-parse'
import remarkRehype from 'remark-rehype'
import { updateMarkdown } from 'remark-shardloom/update'
import { unified } from 'unified'
import { expect, test } from 'vitest'

const tiny = 'model: tiny\nbatch: 4\nseq: 16\nparallel: {tp: 2}'
const update = (text: string) => updateMarkdown(text, 'README.md', { cache: false })

test('writes pictures beside the file and shows them below their blocks', async () => {
  const { text, pictures, blocks } = await update(
    `# Title\n\n\`\`\`shardloom\n${tiny}\nalt: A [tiny] plan\n\`\`\`\n\nAfter.\n`,
  )
  expect(blocks).toBe(1)
  expect([...pictures.keys()]).toEqual(['README.pictures/1.svg'])
  expect(pictures.get('README.pictures/1.svg')).toMatch(/^<svg[\s\S]*<\/svg>\s*$/)
  expect(text).toContain('![A \\[tiny\\] plan](README.pictures/1.svg)')
  expect(text.indexOf('shardloom:begin')).toBeGreaterThan(text.indexOf('parallel: {tp: 2}'))
  expect(text.endsWith('\n\nAfter.\n')).toBe(true)
})

test('what is up to date stays byte by byte; a changed block is written anew in its place', async () => {
  const before = `Intro.\n\n<!-- shardloom\n${tiny}\nview: table\n-->\n\nMiddle.\n\n\`\`\`shardloom\n${tiny}\nformat: mermaid\n\`\`\`\n`
  const { text } = await update(before)
  expect((await update(text)).text).toBe(text)
  const changed = await update(text.replace('tp: 2', 'tp: 1'))
  expect(changed.text).not.toContain('| all-reduce · tp')
  expect(changed.text.match(/shardloom:begin/g)).toHaveLength(2)
  expect(changed.text).toContain('\n\nMiddle.\n\n')
  expect((await update(changed.text.replace('tp: 1', 'tp: 2'))).text).toBe(text)
})

test('hostile texts end no comment, cell or tag', async () => {
  const hostile = '"--> | <script>x</script> [y](javascript:z)"'
  const { text } = await update(`\`\`\`shardloom\n${tiny}\nformat: mermaid\ncaption: ${hostile}\n\`\`\`\n`)
  const shown = text.slice(text.indexOf('shardloom:begin'))
  const html = String(await unified().use(remarkParse).use(remarkRehype).use(rehypeStringify).process(shown))
  expect(html).not.toMatch(/<script|href/)
  expect(html).toContain('[y](javascript:z)')
})

test('what stands in backticks is read as it is called', async () => {
  const { text } = await update(`\`\`\`shardloom\n${tiny}\n\`\`\`\n`)
  const html = String(await unified().use(remarkParse).use(remarkRehype).use(rehypeStringify).process(text))
  expect(html).toContain('<code>kv_heads</code>')
})

test.each(['```<script>`', '` `` `<script>`', '`a` <script>', '`<script', '\\`<script>`<script>'])(
  'backticks of %j hide no tag',
  async (caption) => {
    const block = `\`\`\`shardloom\n${tiny}\nformat: mermaid\ncaption: ${JSON.stringify(caption)}\n\`\`\`\n`
    const { text } = await update(block)
    const shown = text.slice(text.indexOf('shardloom:begin'))
    const pipeline = unified().use(remarkParse).use(remarkRehype, { allowDangerousHtml: true })
    const html = String(await pipeline.use(rehypeStringify, { allowDangerousHtml: true }).process(shown))
    expect(html).not.toMatch(/<script/)
    expect(html).toContain('script')
  },
)

test.each([
  [`- a list\n\n  \`\`\`shardloom\n  model: tiny\n  \`\`\`\n`, /README\.md:3: The block stands inside of a listItem/],
  [
    `\`\`\`shardloom\n${tiny}\nview: table\n\`\`\`\n\n<!-- shardloom:begin, made from the block above -->\n\ntext\n`,
    /README\.md:9: .*no end/,
  ],
  ['text\n\n```shardloom\nmodel: nothing\n```\n', /README\.md:4: /],
])('%j is refused with its line', async (text, message) => {
  await expect(update(text)).rejects.toThrow(message)
})

test('a file without blocks is as it was', async () => {
  expect(await update('# Nothing\n\n```js\nmodel\n```\n')).toMatchObject({
    blocks: 0,
    text: '# Nothing\n\n```js\nmodel\n```\n',
  })
})

test('a block that names a pipe, to which nobody writes, or a folder is refused at once', async () => {
  const root = mkdtempSync(join(tmpdir(), 'shardloom-'))
  execFileSync('mkfifo', [join(root, 'pipe.yaml')])
  mkdirSync(join(root, 'folder.yaml'))
  for (const file of ['pipe.yaml', 'folder.yaml'])
    await expect(
      updateMarkdown(`\`\`\`shardloom\nfile: ${file}\n\`\`\`\n`, join(root, 'a.md'), { root, cache: false }),
    ).rejects.toThrow(/a\.md:2: .* is not a file/)
})
