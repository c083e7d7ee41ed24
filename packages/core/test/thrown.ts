import { isShardloomError, type ShardloomError } from '@shardloom/core'

/** The ShardloomError that `run` throws. Anything else that it throws, or that it throws nothing, is an error here. */
export function thrown(run: () => unknown): ShardloomError {
  try {
    run()
  } catch (error) {
    if (isShardloomError(error)) return error
    throw error
  }
  throw new Error('nothing was thrown')
}
