/** A thread that answers the parts of one question as their numbers come. */
import { parentPort, workerData } from 'node:worker_threads'
import { finish, loadSpec } from 'shardloom'
import { answersOf } from 'shardloom/search'

const answer = loadSpec(workerData.spec).then((loaded) => answersOf(loaded, workerData))
parentPort.on('message', async (part) => parentPort.postMessage(finish((await answer).part(part))))
