import { isShardloomError } from 'shardloom'
import { runAsWorker } from 'synckit'
import { type RenderOptions, renderCached } from './cache.js'
import type { Place, Rendered } from './render.js'

/** What came of a block in another thread. */
export type Answer =
  | { readonly rendered: Rendered }
  | { readonly error: { readonly code: string; readonly message: string; readonly help: string | undefined } }

/** Renders a block for a thread that waits, see `renderSync`. */
export async function answer(source: string, place: Omit<Place, 'root'>, options: RenderOptions): Promise<Answer> {
  try {
    return { rendered: await renderCached(source, place, options) }
  } catch (error) {
    if (!isShardloomError(error)) throw error
    return { error: { code: error.code, message: error.message, help: error.help } }
  }
}

runAsWorker(answer)
