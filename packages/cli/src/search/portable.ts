import { isDataAddress, isModelPath, ShardloomError } from 'shardloom'
import type { Question } from 'shardloom/search'

/**
 * Refuses a question that cannot go through a queue: its plugins are code, which no worker runs because a server says so, and files
 * lie on one machine. Throws `QUEUE`.
 */
export function checkPortable(question: Question): void {
  const { plugins = [] } = question.spec
  const [file] = filesOf(question)
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

/** The files that a question's spec names, beside its model, which a question holds, and plugins. */
export function filesOf({ spec: { cluster, options = {} } }: Question): string[] {
  const { efficiency, schedule, serving } = options
  const clusters = [cluster, serving?.prefill?.cluster, serving?.decode?.cluster]
  return [...clusters, efficiency, schedule]
    .filter((each) => typeof each === 'string')
    .filter((each) => !isDataAddress(each))
    .filter((each) => each === efficiency || isModelPath(each) || /\.csv$/i.test(each))
}
