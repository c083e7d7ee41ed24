import { parseBytes } from '@shardloom/cluster'
import type { dataTypes } from '@shardloom/core'
import * as z from 'zod'
import { engine } from './engine-schema.js'
import { countScales, scaledNumber, splitNumber } from './scaled-number.js'
import { largestSize, oneOf, wholeNumber } from './schema-values.js'
import { offloadChoice, recomputeChoice, selector } from './selector-schema.js'
import { host, load, scheduler, share } from './serving-schema.js'

/** The most decode steps: the KV cache grows in each, so that each is measured on its own. */
const mostSteps = 65_536

const floatTypes = ['bf16', 'fp16', 'fp32', 'fp64', 'fp8'] as const satisfies readonly (keyof typeof dataTypes)[]

/** The degrees that the spec knows by itself. */
export const parallelSchema = z.object(
  {
    dp: wholeNumber().default(1).describe('data parallel: splits the batch'),
    dpReplicate: wholeNumber()
      .default(1)
      .describe('groups inside dp that each hold all of what zero divides (hybrid sharding)'),
    tp: wholeNumber().default(1).describe('tensor parallel: splits heads, feed-forward and vocabulary'),
    pp: wholeNumber().default(1).describe('pipeline stages'),
    cp: wholeNumber().default(1).describe('context parallel: splits the sequence, gathers keys and values'),
    ulysses: wholeNumber().default(1).describe('splits the sequence, and heads inside attention'),
    dcp: wholeNumber().default(1).describe('decode context parallel: splits the KV cache by position'),
    ep: wholeNumber().default(1).describe('expert parallel: splits the experts over ranks of dp, cp, ulysses and tp'),
    expertTp: wholeNumber().default(1).describe('splits the width inside experts, beside ep'),
    replicas: wholeNumber().default(1).describe('independent engines behind a request router'),
  },
  'an object of degrees, such as {dp: 2, tp: 8}',
)

const parallel = parallelSchema.catchall(wholeNumber()).describe('degree of each axis; a plugin may bring further axes')

const cluster = z.union(
  [z.string(), z.record(z.string(), z.unknown())],
  'the name of a cluster, the path of a file, or an object',
)

/** What one pool of serving has of its own. */
const pool = z
  .strictObject(
    {
      parallel: z.exactOptional(parallel).describe('degrees of a pool of its own, in place of those of the spec'),
      cluster: z
        .exactOptional(cluster)
        .describe('accelerators and links of a pool of its own, in place of those of the spec'),
      order: z
        .exactOptional(z.array(z.string('the name of an axis'), 'a list of axes, such as [tp, dp]'))
        .describe('axes of a pool of its own from innermost to outermost'),
      batch: z.exactOptional(wholeNumber()).describe('sequences per step of this phase; default that of the spec'),
      microbatch: z
        .exactOptional(wholeNumber())
        .describe('sequences per dp rank and microbatch of this phase; default all that a rank has'),
      options: z.exactOptional(z.record(z.string(), z.unknown())).describe('options for this phase alone'),
    },
    'an object such as {parallel: {tp: 8}, batch: 4}',
  )
  .default({})

const budgetExpected = 'a number of tokens above 0, up to 1e18, such as 15e12, 15T or 800B'
// Lengths of sequences take none of these letters: of 128K some mean 131072.
const budgetText = z.string().transform((text, context) => {
  const number = splitNumber(text)
  const tokens = number && number.unit !== '' ? scaledNumber(number, countScales) : undefined
  if (tokens !== undefined && tokens > 0 && tokens <= 1e18) return tokens
  context.addIssue(budgetExpected)
  return z.NEVER
})

function notNegative(expected: string) {
  return z.number(expected).min(0, expected)
}
const bytesExpected = 'a number of bytes from 0 to 1e18, or a text such as 4 GB or 3.5 GiB'
const bytesText = z.string().transform((text, context) => {
  const bytes = parseBytes(text)
  if (bytes !== undefined && bytes <= 1e18) return bytes
  context.addIssue(bytesExpected)
  return z.NEVER
})
const factor = `a number above 0, up to ${largestSize}`

const options = z
  .object(
    {
      attention: oneOf(['flash', 'materialised'])
        .default('flash')
        .describe('whether attention scores touch memory and are saved for backward'),
      loss: oneOf(['fused', 'materialised'])
        .default('fused')
        .describe(
          'training: whether the loss is one kernel, or operators one by one that hold copies of the logits in single precision',
        ),
      causal: oneOf(['whole', 'halved']).default('whole').describe('how FLOPs of causal attention count'),
      dtype: oneOf(floatTypes).default('bf16').describe('element type of parameters and activations'),
      gradientDtype: oneOf(floatTypes).default('fp32').describe('element type of accumulated gradients'),
      linearDtype: z
        .exactOptional(oneOf(floatTypes))
        .describe('simulate: element type in which linear layers multiply, their operands cast; default dtype'),
      engine: z
        .exactOptional(
          z.union([z.string(), engine], 'the name of an engine, or an object such as {preset: megatron-2024}'),
        )
        .describe('simulate: the system that runs the plan, such as megatron-2024; default usual'),
      efficiency: z
        .exactOptional(z.string('the path of a file'))
        .describe('simulate: a file of constants of the accelerator, as `calibrate` writes it'),
      weightDtype: z
        .exactOptional(oneOf(floatTypes))
        .describe(
          'prefill, decode: element type in which matrices of layers are stored and multiply, their inputs cast to it; default that of a checkpoint in eight bits, else dtype',
        ),
      cacheDtype: z
        .exactOptional(oneOf(floatTypes))
        .describe('prefill, decode: element type of the KV cache; default dtype'),
      uneven: oneOf(['refuse', 'ragged'])
        .default('refuse')
        .describe('whether a dim that a degree does not divide is refused or split into shares that differ by one'),
      zero: wholeNumber(0, 3)
        .default(0)
        .describe('what dp ranks divide: 1 optimizer state, 2 gradients too, 3 parameters too (FSDP)'),
      sequenceParallel: z
        .boolean('true or false')
        .default(false)
        .describe('whether tp ranks split the sequence where tp splits nothing'),
      schedule: z
        .exactOptional(z.string('the name of a schedule, such as 1f1b'))
        .describe('pipeline schedule of training: 1f1b, zbh1, dualpipe, … or the path of a CSV; default 1f1b'),
      virtual: z.exactOptional(wholeNumber()).describe('pipeline chunks per rank, where the schedule leaves them open'),
      offload: z
        .union(
          [oneOf(['none', 'activations']), offloadChoice],
          'none, activations, or a choice such as {where: {layers: 0-7}}',
        )
        .default('none')
        .describe('whether what layers save for backward waits in host memory: none or activations'),
      recompute: z
        .union(
          [oneOf(['none', 'selective', 'full']), recomputeChoice],
          'none, selective, full, or a choice such as {full: {layers: 0-7}}',
        )
        .default('none')
        .describe('what backward computes again: none, selective (the core of attention) or full (whole layers)'),
      barriers: z
        .boolean('true or false')
        .default(false)
        .describe('whether all ranks wait for each other behind the last microbatch, and before the update'),
      interleave: oneOf(['none', 'moe', 'all'])
        .default('none')
        .describe('which layers compute their batch as two halves, one of which computes while the other communicates'),
      decode: z
        .strictObject(
          {
            draft: z.exactOptional(wholeNumber()).describe('decode: tokens that a draft proposes and a step verifies'),
            keep: z
              .exactOptional(wholeNumber())
              .describe('decode: tokens that a step keeps; default what `acceptance` lets expect, or all'),
            acceptance: z
              .exactOptional(
                z.number('a share from 0 to 1').min(0, 'a share from 0 to 1').max(1, 'a share from 0 to 1'),
              )
              .describe('decode: share of drafted tokens that the model accepts'),
          },
          'an object, such as {draft: 3}',
        )
        .default({}),
      prefill: z
        .strictObject(
          {
            chunk: z
              .exactOptional(wholeNumber())
              .describe('prefill: tokens of each sequence that are computed at a time'),
            cached: z
              .exactOptional(wholeNumber(0))
              .describe('prefill: tokens of each sequence whose KV is cached already'),
          },
          'an object, such as {chunk: 2048}',
        )
        .default({}),
      serving: z
        .strictObject(
          {
            prefill: pool,
            decode: pool,
            engine: z
              .exactOptional(z.string('the name of an engine, such as vllm'))
              .describe('whose scheduler and host costs are simulated: vllm, sglang or tensorrt-llm; default vllm'),
            scheduler: z
              .exactOptional(scheduler)
              .describe('what the engine schedules otherwise than it does by default'),
            host: z.exactOptional(host).describe('costs of the host in place of those of the engine'),
            memoryFraction: z
              .exactOptional(share)
              .describe(
                "share of a device's memory, 0 to 1, for weights, activations and KV cache; default that of the engine, of vllm 0.9",
              ),
            load: z.exactOptional(load).describe('the requests that come: from clients, or at a rate'),
          },
          'an object such as {prefill: {parallel: {tp: 4}}}',
        )
        .prefault({})
        .describe('serving: what prefill and decode have of their own; a `parallel` of its own makes a pool of ranks'),
      tp: z
        .strictObject(
          {
            keyValueGradients: z
              .exactOptional(oneOf(['reduce', 'defer', 'gather']))
              .describe('how gradients of KV heads that several tp ranks hold are combined'),
            overlap: z
              .exactOptional(wholeNumber(2))
              .describe(
                'parts in which matmuls run beside the tp collectives of what they make or read; default whole',
              ),
            where: z.exactOptional(selector),
          },
          'an object, such as {where: {module: ffn}}',
        )
        .default({}),
      ep: z
        .strictObject(
          {
            dispatch: z
              .exactOptional(oneOf(['all-to-all', 'all-gather']))
              .describe('whether tokens are sent to their experts, or all tokens to all ranks'),
            tokens: z
              .exactOptional(
                z.union(
                  [
                    z.strictObject({ powerLaw: z.number().min(0).max(16) }),
                    z.strictObject({ counts: z.array(wholeNumber(0)) }),
                  ],
                  'a distribution such as {powerLaw: 1} or {counts: [4, 2, 1, 1]}',
                ),
              )
              .describe(
                'how tokens are spread over experts: by a power law of that exponent, or as counted; default evenly',
              ),
            redundant: z
              .exactOptional(wholeNumber(0))
              .describe('prefill, decode: how many experts are held once more; ep divides experts and copies together'),
            capacityFactor: z
              .exactOptional(z.number(factor).gt(0, factor).max(largestSize, factor))
              .describe(
                'room of an expert over its even share of the tokens; what goes beyond is dropped; default all fit',
              ),
            where: z.exactOptional(selector),
          },
          'an object, such as {dispatch: all-gather}',
        )
        .default({}),
      pp: z
        .strictObject(
          {
            layers: z
              .exactOptional(z.array(wholeNumber(0), 'a list of numbers of layers'))
              .describe('layers of each chunk in the order of the data'),
            balance: z
              .exactOptional(oneOf(['even', 'cost']))
              .describe('whether chunks get as many layers, or as much work with embedding and head counted'),
            group: z
              .exactOptional(wholeNumber())
              .describe('consecutive microbatches that an interleaved rank takes through one chunk'),
          },
          'an object, such as {balance: cost}',
        )
        .default({}),
      dp: z
        .strictObject(
          {
            gather: z
              .exactOptional(oneOf(['use', 'keep', 'step']))
              .describe(
                'zero 3: whether parameters are gathered at each use, once per microbatch and kept for its backward, or once per step; default use',
              ),
            bucket: z
              .exactOptional(wholeNumber())
              .describe('bytes of gradients from which on a bucket is full, whose reductions run as one'),
            prefetch: z
              .exactOptional(wholeNumber(0))
              .describe('zero 3: how many layers ahead of the one at work parameters may be gathered; default 1'),
            reduce: z
              .exactOptional(oneOf(['microbatch', 'shards', 'step']))
              .describe(
                'when gradients are reduced: in every microbatch, once per step, or over shards in every microbatch and over replicas once per step; default shards from zero 2 on, else step',
              ),
            reduceDtype: z
              .exactOptional(oneOf(floatTypes))
              .describe('element type in which gradients are summed over ranks; default gradientDtype'),
            where: z.exactOptional(selector),
          },
          'an object, such as {reduce: step}',
        )
        .default({}),
      sp: z
        .strictObject(
          {
            attention: z
              .exactOptional(oneOf(['gather', 'ring']))
              .describe('whether cp ranks gather keys and values, or pass them round a ring while they compute'),
            positions: z
              .exactOptional(oneOf(['zigzag', 'contiguous']))
              .describe('how cp ranks share positions: zigzag (default) balances causal attention'),
            where: z.exactOptional(selector),
          },
          'an object, such as {attention: ring}',
        )
        .default({}),
    },
    'an object of options, such as {attention: flash}',
  )
  .catchall(z.unknown())
  .describe('conventions, options of strategies, and options of plugins under their names')

const modelExpected = 'the name of a preset, the path of a config.json, or a model object'

/** The schema of `shardloom.spec/1` with its defaults; every error message is what the field expects. */
export const specSchema = z.strictObject(
  {
    schema: z.literal('shardloom.spec/1', 'shardloom.spec/1').default('shardloom.spec/1'),
    preset: z
      .exactOptional(z.string('the name of a hybrid'))
      .describe('a named hybrid to start from, such as megatron; the other fields override it'),
    model: z
      .union([z.string(), z.record(z.string(), z.unknown())], modelExpected)
      .describe('preset, path to a Hugging Face config.json, or an inline model'),
    cluster: z
      .exactOptional(cluster)
      .describe('accelerators and links: a preset such as dgx-h100, the path of a file, or an inline object'),
    reserveBytes: z
      .exactOptional(z.union([notNegative(bytesExpected).max(1e18, bytesExpected), bytesText], bytesExpected))
      .describe(
        'simulate: bytes of each device that no tensor gets, such as 4 GB: context, allocator, communication library; default about 4.2e9',
      ),
    tokens: z
      .exactOptional(
        z.union([z.number(budgetExpected).gt(0, budgetExpected).max(1e18, budgetExpected), budgetText], budgetExpected),
      )
      .describe(
        'simulate: how many tokens are trained on, or generated by serving, in all, such as 15T, for days and cost',
      ),
    pricePerRankHour: z
      .exactOptional(notNegative('a price from 0 to 1e9').max(1e9, 'a price from 0 to 1e9'))
      .describe('simulate: what one rank costs per hour, in any currency'),
    phase: z
      .enum(['training', 'prefill', 'decode', 'serving'], 'one of training, prefill, decode, serving')
      .default('training')
      .describe('what is planned'),
    batch: wholeNumber().default(512).describe('sequences per step, over all ranks'),
    microbatch: z
      .exactOptional(wholeNumber())
      .describe(
        'sequences per dp rank and microbatch; default 1 in training, in prefill and decode all that a rank has',
      ),
    seq: z
      .exactOptional(wholeNumber())
      .describe(
        'tokens per sequence; decode: KV positions read by the first step; default 8192, or what the model has positions for',
      ),
    steps: wholeNumber(1, mostSteps).default(1).describe('decode: steps in the graph'),
    parallel: parallel.prefault({}),
    order: z
      .array(z.string('the name of an axis'), 'a list of axes, such as [tp, dp]')
      .default(['tp', 'ulysses', 'cp', 'dp', 'pp'])
      .describe('axes from innermost (fastest links) to outermost'),
    options: options.prefault({}),
    plugins: z
      .array(z.string('the path of an ES module'), 'a list of paths of ES modules')
      .default([])
      .describe('ES modules that bring strategies, relative to the spec'),
  },
  'a spec: an object with at least `model`',
)

/** A spec with every default filled in. */
export type Spec = z.output<typeof specSchema>

/** A spec as a user writes it: only `model` is required. */
export type SpecInput = z.input<typeof specSchema>

/** The JSON Schema (draft 2020-12) of a spec, for editors and other programs. */
export function specJsonSchema(): Record<string, unknown> {
  const { $schema, ...rest } = z.toJSONSchema(specSchema, { io: 'input' })
  return { $schema, title: 'Shardloom spec', ...rest }
}
