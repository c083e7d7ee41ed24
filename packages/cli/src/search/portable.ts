import { isDataAddress, isModelPath, ShardloomError } from 'shardloom'
import type { Question } from 'shardloom/search'

/**
 * Refuses a question that cannot go through a queue: its plugins are code, which no worker runs because a server says so, and files
 * lie on one machine. Throws `QUEUE`.
 */
export function checkPortable({ spec: { plugins = [], cluster, options = {} } }: Question): void {
  const { efficiency, schedule, serving } = options
  const clusters = [cluster, serving?.prefill?.cluster, serving?.decode?.cluster]
  const files = [...clusters, efficiency, schedule].filter((each) => typeof each === 'string')
  const file = files
    .filter((each) => !isDataAddress(each))
    .find((each) => each === efficiency || isModelPath(each) || /\.csv$/i.test(each))
  if (plugins.length > 0)
    throw new ShardloomError('QUEUE', 'Plugins do not go through a queue: they would be code that a server sends.', {
      subject: 'plugins',
      help: 'Search without --queue, or share the work out with --shard and --merge.',
    })
  if (file !== undefined)
    throw new ShardloomError('QUEUE', `The file ${file} does not go through a queue.`, {
      subject: file,
      help: 'Write what it holds into the spec, or share the work out with --shard and --merge.',
    })
}
