import { isShardloomError, ShardloomError } from '@shardloom/core'

/** An error of work on the input of that name, which says so. */
export function errorNaming(name: string, cause: unknown): unknown {
  if (!isShardloomError(cause) || cause.message.includes(name)) return cause
  const { code, message, help, subject } = cause
  return new ShardloomError(code, `${name}: ${message}`, {
    cause,
    ...(help !== undefined && { help }),
    ...(subject !== undefined && { subject }),
  })
}
