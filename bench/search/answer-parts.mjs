/** A thread that answers the parts of one question as their numbers come, and before that shares of what they begin with. */
import { parentPort, workerData } from 'node:worker_threads'
import { finish, loadSpec } from 'shardloom'
import { answersOf } from 'shardloom/search'

const loaded = loadSpec(workerData.spec).then((spec) => answersOf(spec, workerData))
parentPort.on('message', async ({ part, start, share }) => {
  const answers = await loaded
  parentPort.postMessage(finish(share === undefined ? answers.part(part, start) : answers.share(start, share)))
})
