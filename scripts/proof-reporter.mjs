/**
 * The progress of `npm run prove`: one line per test file, then what failed and why. Writes how many tests passed and failed
 * to the file that the environment names in `SHARDLOOM_PROOF`.
 */
import { writeFileSync } from 'node:fs'

/** A reporter of Vitest. */
export default class ProofReporter {
  /** A test file has ended; one of which nothing was chosen says nothing. */
  onTestModuleEnd(file) {
    const tests = [...file.children.allTests()]
    const count = (state) => tests.filter((test) => test.result().state === state).length
    if (file.ok() && tests.length > 0 && count('skipped') === tests.length) return
    const parts = [
      `${count('passed')} passed`,
      ...['failed', 'skipped'].flatMap((state) => (count(state) > 0 ? [`${count(state)} ${state}`] : [])),
    ]
    const seconds = (file.diagnostic().duration / 1000).toFixed(1)
    const mark = file.ok() ? 'ok  ' : 'FAIL'
    console.log(`${mark}  ${file.relativeModuleId.padEnd(52)}  ${parts.join(', ')}  ${seconds} s`)
  }

  /** All test files have ended; `unhandled` errors belong to none. */
  onTestRunEnd(files, unhandled) {
    let passed = 0
    let failed = 0
    for (const file of files) {
      report(file.relativeModuleId, file.errors())
      for (const suite of file.children.allSuites())
        report(`${file.relativeModuleId} > ${suite.fullName}`, suite.errors())
      for (const test of file.children.allTests()) {
        const { state, errors = [] } = test.result()
        if (state === 'passed') passed++
        if (state !== 'failed') continue
        failed++
        report(`${file.relativeModuleId} > ${test.fullName}`, errors)
      }
    }
    report('outside of tests', unhandled)
    const { SHARDLOOM_PROOF: path } = process.env
    if (path) writeFileSync(path, JSON.stringify({ passed, failed }))
  }
}

function report(what, errors) {
  for (const error of errors) {
    const { message, diff, stacks = [] } = error
    const [at] = stacks
    const place = at ? `at ${at.file}:${at.line}` : undefined
    const text = [message, diff, place].filter(Boolean).join('\n').replace(/^/gm, '      ')
    console.log(`\nFAIL  ${what}\n${text}`)
  }
}
