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
    requests: z.exactOptional(wholeNumber()).describe('requests in all; default 10 per client, or 1000'),
    input: z.exactOptional(length).describe('tokens of a prompt; default seq'),
    output: z.exactOptional(length).describe('tokens that are generated per request; default 256'),
    prefix: z.exactOptional(wholeNumber()).describe('tokens that all prompts begin with, which the prefix cache has'),
    seed: z
      .exactOptional(wholeNumber(0))
      .describe('of the numbers that lengths and arrivals are drawn with; default 0'),
  },
  'an object such as {clients: 64, input: 1024, output: 256}',
)

/** What an engine does otherwise than its preset. */
export const scheduler = z.strictObject(
  {
    batching: z
      .exactOptional(oneOf(['mixed', 'separate']))
      .describe('whether prompts are prefilled beside decoding, or first and in steps of their own'),
    chunked: z.exactOptional(z.boolean('true or false')).describe('whether a prompt may be prefilled in several steps'),
    maxTokens: z.exactOptional(wholeNumber()).describe('tokens that a step computes at most, of each rank of dp'),
    maxSequences: z
      .exactOptional(wholeNumber())
      .describe('sequences that run at the same time at most, of each rank of dp'),
    blockTokens: z.exactOptional(wholeNumber()).describe('tokens of a block of the KV cache'),
    reserve: z
      .exactOptional(share)
      .describe('share of what sequences are still to generate that must have room before another is let in'),
    preemption: z
      .exactOptional(oneOf(['recompute', 'swap']))
      .describe('what happens to the KV cache of a sequence that makes room'),
  },
  'an object such as {maxTokens: 2048}',
)

/** What the processes around the kernels take. */
export const host = z.strictObject(
  {
    step: seconds.describe('seconds of the host per step'),
    layer: seconds.describe('seconds per layer and step that the device waits between kernels'),
    sequence: seconds.describe('seconds per sequence and step'),
    request: seconds.describe('seconds per request before it waits at the engine'),
    issue: seconds.describe('seconds per layer in which a step with prompts is issued: none is done sooner'),
  },
  'an object such as {step: 0.5e-3}',
)
