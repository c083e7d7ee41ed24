import * as z from 'zod'
import { oneOf, wholeNumber } from './schema-values.js'

const names = z.union([z.string(), z.array(z.string())], 'a name or a list of names')
const layer = z.union([wholeNumber(0), z.string()])

const selectorFields = {
  segment: z.exactOptional(names).describe('forward, backward, optimizer, prefill or decode'),
  module: z
    .exactOptional(names)
    .describe('module path or a prefix of it, such as attention, ffn, moe, embedding, head'),
  operator: z.exactOptional(names).describe('operator name, such as einsum'),
  name: z.exactOptional(names).describe('last part of a node id, such as q or gate'),
  body: z.exactOptional(names).describe('kind of layer, such as moe-layer'),
  layers: z
    .exactOptional(z.union([layer, z.array(layer)], 'a layer such as 5, a range such as 10-20, or a list of them'))
    .describe('layers by depth from 0: 5, 10-20, or a list of them'),
  role: z.exactOptional(names).describe('role of a tensor that the node reads or writes, such as cache'),
}

const selectorExpected = 'a selector such as {module: ffn}'

/** The node set that a strategy applies to; every given field must match. */
export const selector = z
  .strictObject(
    { ...selectorFields, except: z.exactOptional(z.strictObject(selectorFields, selectorExpected)) },
    selectorExpected,
  )
  .describe('the nodes that the strategy applies to; default all')

/** What backward computes again, by operators. */
export const recomputeChoice = z.strictObject(
  {
    full: z.exactOptional(selector).describe('operators of a layer that run again; {} is all of them'),
    selective: z.exactOptional(selector).describe('attention whose scores, softmax and context run again'),
    border: z
      .exactOptional(oneOf(['saved', 'again']))
      .describe('whether results that other operators read as well are saved (default) or made again too'),
    tail: z
      .exactOptional(oneOf(['dropped', 'kept']))
      .describe('whether operators at the end of a layer, whose results backward does not read, run again too'),
  },
  'a choice such as {full: {layers: 0-7}}',
)

/** What waits in host memory, by operators. */
export const offloadChoice = z.strictObject(
  {
    where: z.exactOptional(selector).describe('operators of forward whose results go; default all'),
    prefetch: z
      .exactOptional(wholeNumber(0))
      .describe('how many layers ahead of the one whose backward is at work a reload may run; default 1'),
  },
  'a choice such as {where: {layers: 0-7}, prefetch: 1}',
)
