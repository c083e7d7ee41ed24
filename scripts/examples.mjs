/**
 * Reads the runnable examples of a Markdown text:
 *
 * - ```` ```js example ````, ```` ```ts example ````, ```` ```sh example ```` run; `exit=3` after it expects that exit code;
 * - ```` ```text output ```` right after one is what it prints (a line `…` stands for any lines);
 * - `in=folder` after it runs it in that folder;
 * - ```` ```yaml file=spec.yaml ```` is written to that path, before the examples that follow it run.
 */
export function readExamples(markdown) {
  const files = []
  const examples = []
  let previous
  for (const { language, words, line, text } of fences(markdown)) {
    const path = words.find((word) => word.startsWith('file='))?.slice('file='.length)
    if (path) files.push({ path, line, text })
    if (words[0] === 'output') {
      if (!previous) throw new Error(`line ${line}: an output block must follow an example`)
      previous.output = text
      previous = undefined
      continue
    }
    previous = undefined
    if (words[0] !== 'example') continue
    if (!['js', 'ts', 'sh'].includes(language)) throw new Error(`line ${line}: cannot run a ${language} example`)
    const value = (name) => words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1)
    const exitCode = Number(value('exit') ?? 0)
    previous = { language, line, text, folder: value('in') ?? '.', exitCode, output: undefined }
    examples.push(previous)
  }
  return { files, examples }
}

/** The fenced code blocks: language, the other words of the info string, line number from 1, and text. */
function fences(markdown) {
  const found = []
  let open
  markdown.split(/\r?\n/).forEach((content, index) => {
    const mark = /^(`{3,}|~{3,})(.*)$/.exec(content)
    if (open) {
      if (mark?.[1].startsWith(open.fence) && mark[2].trim() === '') {
        found.push({ ...open, text: open.lines.map((line) => `${line}\n`).join('') })
        open = undefined
      } else open.lines.push(content)
    } else if (mark) {
      const [language = '', ...words] = mark[2].trim().split(/\s+/)
      open = { fence: mark[1], language, words, line: index + 1, lines: [] }
    }
  })
  return found
}

/** How `actual` differs from `expected`, or undefined; trailing blanks do not count. */
export function outputDifference(expected, actual) {
  const normalise = (text) => text.replace(/[ \t]+$/gm, '').trimEnd()
  const pattern = normalise(expected)
    .split('\n')
    .map((line) => (line === '…' ? '(?:.*(?:\\n|$))*?' : `${line.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(?:\\n|$)`))
    .join('')
  if (new RegExp(`^${pattern}$`).test(normalise(actual))) return undefined
  return `expected\n${normalise(expected)}\nbut it printed\n${normalise(actual)}`
}
