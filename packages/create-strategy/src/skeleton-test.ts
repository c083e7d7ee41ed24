import { dimClasses, type KnownDim, type Names } from './names.js'

/** The test of a skeleton: the laws of its pass, and proofs on 2, 3 and 4 ranks. */
export function testSource({ factory, axis, dim, pass, passFactory }: Names): string {
  const known = dim as KnownDim // namesOf refuses all others
  // A decoding step has one position, so there is nothing to split.
  const phases = dim === 'seq' ? "['training', 'prefill']" : "['training', 'prefill', 'decode']"
  return `import { plan } from 'shardloom'
import { checkPass, expectEquivalent } from 'shardloom/testing'
import { describe, expect, it } from 'vitest'
import ${factory} from '../src/index.js'
import { ${passFactory} } from '../src/${pass}.js'

/** A Hugging Face config, small enough to be run; what is split divides by 2, 3 and 4. */
const model = {
${modelLines(dim)}
}

const access = { plugins: [${factory}()] }
const spec = { model, batch: 12, seq: 12 }

describe('${axis}/${pass}', () => {
  const program = \`
    sizes rows=2 ${dim}=12 columns=3
    outside
      x : [rows ${dim}]
      weight : parameter [${dim} columns]
    y = einsum(x, weight) : rows ${dim}, ${dim} columns -> rows columns
  \`
  const before = \`    mesh ${axis}=4\${program}\`
  const expected = \`    mesh ${axis}=4
    prefer [${dim}] ${dimClasses[known]} over ${axis}\${program}\`
  const alone = \`    mesh ${axis}=1\${program}\`

  it('keeps every law of a pass, and asks for ${dim}', async () => {
    const { operators } = await plan(spec, access)
    const fixtures = [
      { name: 'four ranks', before, expected },
      { name: 'one rank', before: alone, expected: alone },
    ]
    const reports = checkPass(${passFactory}(), fixtures, { operators })
    expect(reports.map(({ changed }) => changed)).toEqual([true, false])
  })
})

describe.each(${phases} as const)('%s', (phase) => {
  it.each([2, 3, 4])('on %i ranks computes what one device computes', async (degree) => {
    const whole = { ...spec, phase, parallel: { ${axis}: degree } }
    // A plan in which the axis splits nothing is right as well, but shows nothing.
    const { warnings } = await plan(whole, access)
    expect(warnings).toEqual([])
    // A proof runs a small plan; unlike would name the nodes in which it is not the full one.
    const { ranks, unlike } = await expectEquivalent(whole, access)
    expect({ ranks, unlike }).toEqual({ ranks: degree, unlike: [] })
  })
})
`
}

function modelLines(dim: string): string {
  const config = {
    model_type: dim === 'experts' ? 'mixtral' : 'llama',
    num_hidden_layers: 2,
    hidden_size: 96,
    intermediate_size: 96,
    num_attention_heads: 24,
    num_key_value_heads: 12,
    head_dim: 8,
    vocab_size: 96,
    ...(dim === 'experts' && { num_local_experts: 12, num_experts_per_tok: 2 }),
  }
  return Object.entries(config)
    .map(([key, value]) => `  ${key}: ${typeof value === 'string' ? `'${value}'` : value},`)
    .join('\n')
}
