/**
 * Whole spaces of training: how many candidates are judged per second, rejections and bounds included. Beside it how many are evaluated in
 * full per second where nothing is bounded, their layers planned on the way, and what an evaluation takes whose costs are known. Calculon
 * (Isaev et al., SC 2023) evaluates 277 candidates per second and core as shipped, and 2,837 with its logging removed.
 */
import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { Worker } from 'node:worker_threads'
import { finish, loadSpec } from 'shardloom'
import { answersOf, mergeAnswers, nextStart, questionOf, StepTree, startOf } from 'shardloom/search'

/** After so many seconds of the processor a space is left where it is; the first one is to be taken whole. */
const budget = 30
const wholeBudget = 150
const workers = 2

const gpt = {
  spec: { model: 'gpt3-175b', cluster: { preset: 'dgx-a100', nodes: 64 }, batch: 512, seq: 2048 },
  ask: { parts: 512 },
}
const llama = {
  spec: { model: 'llama-3.1-405b', cluster: { preset: 'dgx-h100', nodes: 2048 }, batch: 2048, seq: 8192 },
  ask: { parts: 1024 },
}

export default async function bench() {
  const loaded = await loadSpec(gpt.spec)
  const question = questionOf(loaded, gpt.ask)
  const { part: answerPart } = answersOf(loaded, question)
  const seconds = processorSeconds()
  const answers = []
  while (answers.length < question.parts && seconds() < wholeBudget) answers.push(finish(answerPart(answers.length)))
  const answer = mergeAnswers(answers, question)
  const taken = seconds()
  const whole = await inThreads(llama)
  return [
    `GPT-175B, 512 A100, batch 512, one core: ${told(answer.counts, taken)}; ${answers.length} of ${question.parts} parts (aim: 50,000 candidates/s)`,
    `  best: ${answer.best[0]?.name}`,
    `  evaluated in full, without bounds: ${withoutBounds(loaded, question)} (Calculon: 277 as shipped, 2,837 without logging)`,
    `  one evaluation again and again: ${rate(evaluationsPerSecond(loaded, question, answer.best[0]))}/s`,
    `Llama 3.1 405B, 16,384 H100, batch 2048, ${workers} threads: ${told(whole.answer.counts, whole.seconds)}; ${whole.done} of ${llama.ask.parts} parts (aim: all within 10 s)`,
    `  best: ${whole.answer.best[0]?.name}`,
  ]
}

function told({ total, rejected, bounded, evaluated }, seconds) {
  const rejections = Object.values(rejected).reduce((sum, count) => sum + count, 0)
  return `${rate(total / seconds)} candidates/s, ${rate(evaluated / seconds)} evaluated/s in ${seconds.toFixed(1)} s (${rate(total)}: ${rate(rejections)} rejected, ${rate(bounded)} bounded, ${rate(evaluated)} evaluated)`
}

/** The best candidate's step time and memory from costs of layers that are known: what an evaluation adds to them. */
function evaluationsPerSecond(loaded, question, { choices }) {
  const tree = new StepTree(loaded, question)
  const leaf = tree.leafOf(choices)
  // Of the one asked for last all is known.
  const leaves = [leaf, { ...leaf }]
  for (let i = 0; i < 2_000; i++) tree.evaluate(leaves[i % 2])
  const count = 20_000
  const seconds = processorSeconds()
  for (let i = 0; i < count; i++) tree.evaluate(leaves[i % 2])
  return count / seconds()
}

/** Every candidate of the usual order with tensor and pipeline parallelism alone that breaks no rule, evaluated. */
function withoutBounds(loaded, { choices, ...question }) {
  const narrow = { order: choices.order.slice(0, 1), cp: [1], ulysses: [1], offload: ['none'], dpReplicate: [1] }
  const tree = new StepTree(loaded, { ...question, choices: { ...choices, ...narrow } })
  const seconds = processorSeconds()
  const waiting = [{ level: 'root', groups: tree.groups() }]
  let count = 0
  while (waiting.length > 0 && seconds() < budget) {
    const node = waiting.pop()
    if (tree.reject(node)) continue
    const below = tree.expand(node)
    if (below) waiting.push(...below)
    else if (typeof tree.evaluate(node) === 'number') count++
  }
  return `${rate(count / seconds())}/s (${rate(count)} in ${seconds().toFixed(1)} s)`
}

/** Starts to count the seconds of the processor that this process takes. */
function processorSeconds() {
  const from = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(from)
    return (user + system) / 1e6
  }
}

/** Parts of a question in threads: each has a run of them, and takes from the end of another's when it has ended its own. */
async function inThreads({ spec, ask }) {
  const question = questionOf(await loadSpec(spec), ask)
  // As the command has it for its threads.
  if (process.versions.v8.startsWith('11.'))
    setFlagsFromString(
      '--interrupt-budget=1200000 --always-sparkplug --no-parallel-scavenge --min-semi-space-size=16 --initial-old-space-size=1000',
    )
  const begun = performance.now()
  const elapsed = () => (performance.now() - begun) / 1e3
  const threads = Array.from(
    { length: workers },
    () => new Worker(new URL('./search/answer-parts.mjs', import.meta.url), { workerData: question }),
  )
  let start = startOf(question)
  while (start.shares > 0) {
    const shares = Array.from({ length: start.shares }, (_, share) => ({ start, share }))
    start = nextStart(question, start, await inTurn(threads, () => shares.shift()))
  }
  const size = question.parts / workers
  const runs = threads.map((_, run) => Array.from({ length: size }, (_, part) => ({ part: run * size + part, start })))
  const most = () => runs.reduce((most, each) => (each.length > most.length ? each : most))
  const answers = await inTurn(threads, (thread) =>
    elapsed() < budget ? (runs[thread].shift() ?? most().pop()) : undefined,
  )
  await Promise.all(threads.map((thread) => thread.terminate()))
  return { answer: mergeAnswers(answers, question), seconds: elapsed(), done: answers.length }
}

/** What threads answer, each of which is given the next task when it has ended one. */
async function inTurn(threads, next) {
  const answers = []
  await Promise.all(
    threads.map(async (thread, index) => {
      for (let task = next(index); task; task = next(index)) {
        thread.postMessage(task)
        const [answer] = await once(thread, 'message')
        answers.push(answer)
      }
    }),
  )
  return answers
}

function rate(value) {
  return Math.round(value).toLocaleString('en')
}
