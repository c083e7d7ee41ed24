import * as z from 'zod'
import { oneOf, wholeNumber } from './schema-values.js'

const lengthExpected = 'tokens, such as 1024, {from: 512, to: 2048}, {mean: 900, deviation: 200} or a list to draw from'
const length = z.union(
  [
    wholeNumber(),
    z.strictObject({ from: wholeNumber(), to: wholeNumber() }),
    z.strictObject({ mean: z.number().positive(), deviation: z.number().min(0) }),
    z.array(wholeNumber()).min(1),
  ],
  lengthExpected,
)
/** A share of a whole. */
export const share = z.number('a share from 0 to 1').min(0, 'a share from 0 to 1').max(1, 'a share from 0 to 1')
const seconds = z.exactOptional(z.number('seconds from 0').min(0, 'seconds from 0').max(3600, 'seconds from 0'))

/** Tokens that a request generates where a load says nothing. */
export const usualOutput = 256

/** What comes to an engine. */
export const load = z.strictObject(
  {
    clients: z
      .exactOptional(wholeNumber())
      .describe(
        'a closed loop: so many clients, each with one request at a time; default 16 per engine, or as many as the KV cache has room for where those are fewer',
      ),
    rate: z
      .exactOptional(z.number('requests per second above 0').gt(0, 'requests per second above 0'))
      .describe('an open loop: requests per second, as a Poisson process, in place of clients'),
    requests: z
      .exactOptional(wholeNumber())
      .describe(
        'how many requests come in all; default 10 per client, or as many as a rate brings in a minute, 1000 at least',
      ),
    input: z.exactOptional(length).describe('tokens of a prompt; default seq'),
    output: z.exactOptional(length).describe('tokens that are generated per request; default 256'),
    prefix: z
      .exactOptional(wholeNumber())
      .describe('how many tokens all prompts begin with, whose KV the prefix cache has; default 0'),
    seed: z
      .exactOptional(wholeNumber(0))
      .describe('which random numbers lengths and arrivals are drawn with, as a number from 0; default 0'),
  },
  'an object such as {clients: 64, input: 1024, output: 256}',
)

/** What an engine does otherwise than its preset. */
export const scheduler = z.strictObject(
  {
    batching: z
      .exactOptional(oneOf(['mixed', 'separate']))
      .describe(
        'whether prompts are prefilled beside decoding, or first and in steps of their own; default that of the engine, of vllm mixed',
      ),
    chunked: z
      .exactOptional(z.boolean('true or false'))
      .describe('whether a prompt may be prefilled in several steps; default that of the engine, of vllm true'),
    maxTokens: z
      .exactOptional(wholeNumber())
      .describe('tokens that a step computes at most, of each rank of dp; default that of the engine, of vllm 8192'),
    maxSequences: z
      .exactOptional(wholeNumber())
      .describe(
        'sequences that run at the same time at most, of each rank of dp; default that of the engine, of vllm 1024',
      ),
    blockTokens: z
      .exactOptional(wholeNumber())
      .describe('tokens of a block of the KV cache; default that of the engine, of vllm 16'),
    reserve: z
      .exactOptional(share)
      .describe(
        'share, 0 to 1, of what sequences are still to generate that must have room before another is let in; default that of the engine, of vllm 0',
      ),
    admission: z
      .exactOptional(oneOf(['prompt', 'chunk']))
      .describe(
        'what of a prompt must have room when it is let in: all of it, or, with `reserve` 0, what the next step computes of it, as in vLLM before 2026; default prompt',
      ),
    sharing: z
      .exactOptional(oneOf(['even', 'greedy']))
      .describe(
        'of the batches in flight in pipeline stages, whether each lets in no more than its share of the sequences, or all that wait when it begins; default even',
      ),
    preemption: z
      .exactOptional(oneOf(['recompute', 'swap']))
      .describe(
        'whether the KV cache of a sequence that makes room is computed again later or waits in host memory; default that of the engine, of vllm recompute',
      ),
  },
  'an object such as {maxTokens: 2048}',
)

/** What the processes around the kernels take. */
export const host = z.strictObject(
  {
    step: seconds.describe('seconds of the host per step; default that of the engine, of vllm 0.00025'),
    layer: seconds.describe(
      'seconds per layer and step that the device waits between kernels; default that of the engine, of vllm 0.000029',
    ),
    sequence: seconds.describe(
      'seconds of the host per sequence and step; default that of the engine, of vllm 0.000027',
    ),
    request: seconds.describe(
      'seconds per request before it waits at the engine; default that of the engine, of vllm 0.042',
    ),
    issue: seconds.describe(
      'seconds per layer in which a step with prompts is issued: none is done sooner; default that of the engine, of vllm 0',
    ),
  },
  'an object such as {step: 0.5e-3}',
)
