import * as z from 'zod'

const share = z.number('a share from 0 to 1').min(0, 'a share from 0 to 1').max(1, 'a share from 0 to 1')
const amount = z.number('a number of at least 0').min(0, 'a number of at least 0')

/** An engine of one's own: a known one with changes. */
export const engine = z.strictObject(
  {
    preset: z.exactOptional(z.string('the name of an engine')).describe('the engine that these change; default usual'),
    kernels: z
      .exactOptional(z.enum(['eager', 'fused', 'compiled'], 'one of eager, fused, compiled'))
      .describe('whether element-wise operators run one by one, as hand-written kernels fuse them, or as compilers do'),
    blocking: z
      .exactOptional(z.array(z.string('the name of an axis'), 'a list of axes, such as [tp]'))
      .describe('axes whose communication nothing is computed beside'),
    fused: z
      .exactOptional(z.record(z.string(), share))
      .describe('per axis the share of its collectives that runs inside of matmuls'),
    traffic: z
      .exactOptional(z.record(z.string(), amount))
      .describe("per operator, or end of a node's name such as experts/down_bias, how many times its bytes are moved"),
    launches: z.exactOptional(amount).describe('kernels that an element-wise operator consists of'),
    castsAgain: z
      .exactOptional(z.boolean('true or false'))
      .describe('whether backward casts the tokens of eight-bit products again'),
    host: z
      .exactOptional(
        z.strictObject({ operator: amount, product: amount }, 'an object such as {operator: 1e-5, product: 3e-5}'),
      )
      .describe('seconds in which a host that is not ahead issues an operator, and a product, of experts each one'),
    dispatch: z
      .exactOptional(z.enum(['per-expert', 'per-node'], 'per-expert or per-node'))
      .describe('whether a token is sent to each of its experts, or once to each node and rank that has some of them'),
    castBytes: z.exactOptional(amount).describe('bytes that a cast moves for each element of an eight-bit product'),
    castRate: z
      .exactOptional(share.gt(0, 'a share above 0, up to 1'))
      .describe('of the rate of eight-bit products with one scale per tensor, what those with other scales reach'),
  },
  'an object such as {preset: megatron-2024, blocking: [tp]}',
)
