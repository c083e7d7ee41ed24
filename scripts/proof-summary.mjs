/** What `npm run prove` counted, in lines, and what follows from it. */

const communication = /^(all-reduce|all-gather|reduce-scatter|all-to-all|broadcast|send|recv)$/

/** Adds up the entries that the tests wrote. */
export function addUp(entries) {
  const total = {
    specs: 0,
    tensors: 0,
    worst: 0,
    executed: {},
    mutations: { made: 0, interpreter: 0, verifier: 0 },
  }
  for (const { specs = 0, tensors = 0, worst = 0, executed = {}, mutations = {} } of entries) {
    total.specs += specs
    total.tensors += tensors
    total.worst = Math.max(total.worst, worst)
    for (const [kind, count] of Object.entries(executed)) total.executed[kind] = (total.executed[kind] ?? 0) + count
    for (const field of Object.keys(total.mutations)) total.mutations[field] += mutations[field] ?? 0
  }
  return total
}

/** The counts in lines, none longer than 80 columns. */
export function countLines({ specs, tensors, executed, mutations, worst }) {
  const kinds = Object.entries(executed).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
  const collectives = kinds.filter(([kind]) => communication.test(kind))
  const operators = kinds.filter(([kind]) => !communication.test(kind))
  return [
    line('specs run', number(specs)),
    line('tensors compared', number(tensors)),
    line('largest relative error', `${worst.toExponential(1)} (at most 1.0e-9)`),
    line('operators executed', `${number(all(operators))}, of ${operators.length} kinds`),
    ...wrapped(listed(operators)),
    line('collectives executed', number(all(collectives))),
    ...wrapped(listed(collectives)),
    line('mutations made', number(mutations.made)),
    line('  caught by running', `${number(mutations.interpreter)} (the others change no number)`),
    line('  caught by verifying', number(mutations.verifier)),
  ]
}

/**
 * The last line and the exit code. `tests` is what the test runner says: its exit code and how many tests passed and
 * failed. `part`: arguments chose a part of the suite, which proves only that part.
 */
export function verdict({ specs, mutations }, { status, passed, failed }, part) {
  const no = (why) => ({ exitCode: status || 1, sentence: `Not proven: ${why}.` })
  if (failed > 0) return no(`${number(failed)} of ${number(passed + failed)} tests failed, see above`)
  if (status !== 0) return no('the tests did not end well, see above')
  if (passed === 0) return no('no test ran')
  if (part) return { exitCode: 0, sentence: `Proven as far as chosen: ${number(passed)} tests passed.` }
  if (specs === 0) return no('no spec was run')
  if (mutations.made === 0) return no('nothing was spoilt to see whether it is noticed')
  const missed = mutations.made - mutations.verifier
  if (missed !== 0) return no(`${number(missed)} of ${number(mutations.made)} mutations were not caught by verifying`)
  const specsText = `${number(specs)} specs compute what one device computes`
  return { exitCode: 0, sentence: `Proven: ${specsText}, and all ${number(mutations.made)} mutations were caught.` }
}

const number = (value) => value.toLocaleString('en-US')
const listed = (list) => list.map(([kind, count]) => `${kind} ${number(count)}`)
const all = (list) => list.reduce((count, [, each]) => count + each, 0)

function line(name, value) {
  return `${name.padEnd(24)}${value}`
}

/** Words of a list below each other, no line longer than 80 columns. */
function wrapped(words) {
  const rows = []
  for (const word of words) {
    const last = rows.at(-1)
    if (last !== undefined && last.length + word.length + 2 <= 75) rows[rows.length - 1] = `${last}, ${word}`
    else rows.push(word)
  }
  return rows.map((row, index) => `    ${row}${index < rows.length - 1 ? ',' : ''}`)
}
