import { isShardloomError } from '@shardloom/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkSpec, parseSpec } from '../src/index.js'
import { parseText } from '../src/parse-spec.js'

/** The error that `run` throws, as `CODE message | help`. */
function errorOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (!isShardloomError(error)) throw error
    return `${error.code} ${error.message} | ${error.help ?? ''}`
  }
  return 'no error'
}

describe('a good spec', () => {
  test('needs nothing but a model: the rest are defaults', () => {
    expect(checkSpec({ model: 'tiny' })).toEqual({
      schema: 'shardloom.spec/1',
      model: 'tiny',
      phase: 'training',
      batch: 512,
      steps: 1,
      parallel: { dp: 1, dpReplicate: 1, tp: 1, pp: 1, cp: 1, ulysses: 1, dcp: 1, ep: 1, expertTp: 1, replicas: 1 },
      order: ['tp', 'ulysses', 'cp', 'dp', 'pp'],
      options: {
        attention: 'flash',
        loss: 'fused',
        barriers: false,
        causal: 'whole',
        dtype: 'bf16',
        gradientDtype: 'fp32',
        uneven: 'refuse',
        zero: 0,
        sequenceParallel: false,
        recompute: 'none',
        offload: 'none',
        interleave: 'none',
        serving: { prefill: {}, decode: {} },
        tp: {},
        ep: {},
        pp: {},
        decode: {},
        prefill: {},
        dp: {},
        sp: {},
      },
      plugins: [],
    })
  })

  test('reads the same from YAML and from JSON', () => {
    const yaml =
      'model: tiny\nbatch: 4 # sequences\nparallel: {tp: 2, mine: 3}\noptions:\n  tp: {where: {layers: 0-1}}\n'
    const json =
      '{"model": "tiny", "batch": 4, "parallel": {"tp": 2, "mine": 3}, "options": {"tp": {"where": {"layers": "0-1"}}}}'
    expect(parseSpec(yaml)).toEqual(parseSpec(json))
    expect(parseSpec(yaml).parallel).toMatchObject({ dp: 1, tp: 2, mine: 3 })
  })

  test('is the same when it is checked again', () => {
    const spec = checkSpec({ model: { model_type: 'llama' }, plugins: ['./a.js'], options: { mine: { x: 1 } } })
    expect(checkSpec(spec)).toEqual(spec)
  })
})

describe('a bad spec', () => {
  const sizes = 'a whole number from 1 to 2147483648'
  test.each([
    [{}, 'SPEC_VALUE `model` is missing. | Give the name of a preset, the path of a config.json, or a model object.'],
    [undefined, 'SPEC_VALUE The spec is missing.'],
    [7, 'SPEC_VALUE The spec is 7, but it must be a spec: an object with at least `model`.'],
    [[], 'SPEC_VALUE The spec is an empty list'],
    [{ model: 'tiny', batch: Number.NaN }, `SPEC_VALUE \`batch\` is NaN, but it must be ${sizes}.`],
    [{ model: 'tiny', batch: -4 }, `SPEC_VALUE \`batch\` is -4, but it must be ${sizes}.`],
    [{ model: 'tiny', seq: 1.5 }, `SPEC_VALUE \`seq\` is 1.5, but it must be ${sizes}.`],
    [{ model: 'tiny', seq: 1e300 }, `SPEC_VALUE \`seq\` is 1e+300, but it must be ${sizes}.`],
    ...[1e300, -1, Number.NaN].map((pricePerRankHour): [object, string] => [
      { model: 'tiny', pricePerRankHour },
      'must be a price from 0 to 1e9.',
    ]),
    [{ model: 'tiny', seq: '8k' }, `SPEC_VALUE \`seq\` is "8k", but it must be ${sizes}.`],
    [{ model: 'tiny', parallel: { tp: 0 } }, `SPEC_VALUE \`parallel.tp\` is 0, but it must be ${sizes}.`],
    [{ model: 'tiny', parallel: { tp: null } }, `SPEC_VALUE \`parallel.tp\` is null, but it must be ${sizes}.`],
    [{ model: 'tiny', parallel: [2] }, 'SPEC_VALUE `parallel` is a list of 1, but it must be an object of degrees'],
    [
      { model: 'tiny', phase: 'trainning' },
      'SPEC_VALUE `phase` is "trainning", but it must be one of training, prefill, decode, serving. | Did you mean `training`?',
    ],
    [
      { model: 'tiny', options: { attention: true } },
      'SPEC_VALUE `options.attention` is true, but it must be one of flash, materialised.',
    ],
    [
      { model: 'tiny', schema: 'shardloom.spec/2' },
      'SPEC_VALUE `schema` is "shardloom.spec/2", but it must be shardloom.spec/1.',
    ],
    [{ model: 'tiny', batc: 4 }, 'SPEC_KEY There is no key `batc` in a spec. | Did you mean `batch`?'],
    [
      { model: 'tiny', zzz: 4 },
      'SPEC_KEY There is no key `zzz` in a spec. | Known here: schema, preset, model, cluster',
    ],
    [
      { model: 'tiny', options: { tp: { were: {} } } },
      'SPEC_KEY There is no key `options.tp.were` in a spec. | Did you mean `options.tp.where`?',
    ],
    [{ model: 'tiny', options: { tp: { where: { modul: 'ffn' } } } }, 'Did you mean `options.tp.where.module`?'],
    [{ model: 'tiny', order: ['tp', 3] }, 'SPEC_VALUE `order.1` is 3, but it must be the name of an axis.'],
    [
      { model: 'tiny', plugins: './a.js' },
      'SPEC_VALUE `plugins` is "./a.js", but it must be a list of paths of ES modules.',
    ],
    [{ model: 3 }, 'SPEC_VALUE `model` is 3, but it must be the name of a preset'],
  ])('%j', (spec, expected) => {
    expect(errorOf(() => checkSpec(spec))).toContain(expected)
  })

  test('a key that would reach a prototype is refused and does no harm', () => {
    for (const key of ['__proto__', 'constructor', 'prototype']) {
      const text = `{"model": "tiny", "parallel": {"${key}": {"polluted": 1}}}`
      expect(errorOf(() => parseSpec(text))).toMatch(/^SPEC_KEY/)
      expect(errorOf(() => parseSpec(`model: tiny\n${key}: {polluted: 1}`))).toMatch(/^SPEC_KEY/)
    }
    expect({}).not.toHaveProperty('polluted')
  })

  test('text that is neither YAML nor JSON says where it stops making sense', () => {
    expect(errorOf(() => parseSpec('model: [tiny', 'my.yaml'))).toMatch(
      /^SPEC_SYNTAX Cannot read my\.yaml: .*line 1.*\.$|^SPEC_SYNTAX Cannot read my\.yaml: .* \| Write/,
    )
    for (const [text, place] of [
      ['batch: 1\nparallel: {dp: 2, tp: 8\n', '`{` at line 2, column 11'],
      ['parallel: {dp: 2\noptions:\n  zero: 1\n', '`{` at line 1, column 11'],
      ['options: {sp: {attention: ring}\n', '`{` at line 1, column 10'],
      ['model: [tiny', '`[` at line 1, column 8'],
    ] as const)
      expect(errorOf(() => parseSpec(text))).toContain(`the ${place} is not closed.`)
    expect(errorOf(() => parseSpec('{"model": }', 'my.json'))).toMatch(/^SPEC_SYNTAX Cannot read my\.json/)
    expect(errorOf(() => parseSpec('a: 1\na: 2'))).toMatch(
      /^SPEC_SYNTAX .*"a" stands twice, again at line 2, column 1\. \| Keep one/,
    )
    expect(errorOf(() => parseSpec('a: 1\n---\na: 2'))).toMatch(
      /^SPEC_SYNTAX .* 2 documents, and one is read\. \| .*file of its own/,
    )
    expect(errorOf(() => parseSpec(''))).toMatch(/^SPEC_VALUE/)
  })

  test('a key that stands twice is told of JSON as of YAML, escapes read as what they stand for', () => {
    for (const [text, place] of [
      ['{"model": "tiny",\n "model": "llama-3.1-8b"}', '"model" stands twice, again at line 2, column 2'],
      ['{"model": "tiny", "parallel": {"tp": 2, "t\\u0070": 4}}', '"tp" stands twice, again at line 1, column 41'],
      [
        '{"model": "tiny", "plugins": [{}, {"a": 1}, {"a": 1, "a" : 2}]}',
        '"a" stands twice, again at line 1, column 54',
      ],
    ] as const)
      expect(errorOf(() => parseSpec(text))).toMatch(new RegExp(`^SPEC_SYNTAX .*${place}\\. \\| Keep one`))
    // Texts that look like keys, and keys of the same name in other objects, are none.
    const spec = '{"model": "tiny", "cluster": {"a": "model\\": {", "tp": ["tp", "tp"]}, "parallel": {"tp": 2}, "x": 1}'
    expect(errorOf(() => parseSpec(spec))).toMatch(/^SPEC_KEY .*`x`/)
    // RFC 8259, section 4: what others do with such objects differs. A config.json is read as transformers reads it.
    expect(parseText('{"a": 1, "a": 2}', 'config.json', 'MODEL', 100)).toEqual({ a: 2 })
  })

  test('any JSON object is read as JSON reads it', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(0, 2), (value, indent) => {
        const text = JSON.stringify(value, null, indent)
        expect(parseText(text, 'x.json', 'SPEC', 1e6)).toEqual(JSON.parse(text))
      }),
    )
  })

  test('merge keys are of YAML 1.1: what stands for them is said', () => {
    expect(errorOf(() => parseSpec('model: tiny\nparallel:\n  <<: {tp: 2}\n  dp: 2'))).toMatch(
      /^SPEC_SYNTAX .*merge key `<<` at line 3, column 3 .* \| Write its fields .*parallel: \*name/,
    )
    expect(parseSpec('model: tiny\nplugins: [&name x.js, *name]').plugins).toEqual(['x.js', 'x.js'])
  })

  test('a value that is refused has a line that says what works, and what it is without one', () => {
    for (const [text, help] of [
      ['{model: tiny, parallel: {tp: 0}}', 'Give a whole number from 1 to 2147483648, or leave it out: then it is 1.'],
      [
        '{model: tiny, options: {dtype: 8}}',
        'Give one of bf16, fp16, fp32, fp64, fp8, or leave it out: then it is bf16.',
      ],
      ['{model: tiny, options: {barriers: 3}}', 'Give true or false, or leave it out: then it is false.'],
      ['{model: tiny, microbatch: x}', 'Give a whole number from 1 to 2147483648, or leave it out.'],
      ['{model: 3}', 'Give the name of a preset, the path of a config.json, or a model object.'],
      [
        '{model: tiny, options: {serving: {load: {input: {from: 1, to: x}}}}}',
        'Give a whole number from 1 to 2147483648.',
      ],
    ] as const)
      expect(errorOf(() => parseSpec(text))).toMatch(new RegExp(`^SPEC_VALUE .* \\| ${help.replaceAll('.', '\\.')}$`))
  })

  test('aliases that multiply, endless nesting and endless text are refused', () => {
    const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]']
    for (let level = 1; level < 9; level++) {
      const [before, name] = [String.fromCharCode(96 + level), String.fromCharCode(97 + level)]
      bomb.push(`${name}: &${name} [${Array.from({ length: 9 }, () => `*${before}`).join(', ')}]`)
    }
    expect(errorOf(() => parseSpec(bomb.join('\n')))).toMatch(
      /^SPEC_SYNTAX .* aliases .* more than 100 times\. \| .*aliases/,
    )
    const steps = Array.from({ length: 1300 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n')
    for (const deep of [steps, `a: ${'['.repeat(200)}`, '- '.repeat(1300), '? '.repeat(1300)])
      expect(errorOf(() => parseSpec(deep))).toMatch(
        /^SPEC_SYNTAX .* line \d+ .*nested deeper than 100 levels\. \| Write it flatter/,
      )
    const level = Array.from({ length: 1300 }, (_, at) => `a${at}:\n  b: |\n${' '.repeat(at + 3)}c\n`).join('')
    expect(errorOf(() => parseSpec(level))).toMatch(/^SPEC_VALUE .model. is missing/)
    expect(errorOf(() => parseSpec('['.repeat(300_000)))).toMatch(/^SPEC_/)
    expect(errorOf(() => parseSpec(`{"model": ${'['.repeat(5000)}${']'.repeat(5000)}}`))).toMatch(
      /^SPEC_VALUE .* nested deeper/,
    )
    expect(errorOf(() => parseSpec('#'.repeat(1_000_001)))).toMatch(/^SPEC_SIZE/)
    const cycle: Record<string, unknown> = { model: 'tiny' }
    cycle.options = cycle
    expect(errorOf(() => checkSpec(cycle))).toMatch(/^SPEC_VALUE/)
  })

  test('whatever JSON or text is given, nothing but a ShardloomError is thrown', () => {
    const text = (value: unknown) => errorOf(() => checkSpec(value))
    fc.assert(fc.property(fc.jsonValue(), (value) => typeof text(value) === 'string'))
    fc.assert(fc.property(fc.jsonValue(), (value) => typeof text({ model: 'tiny', parallel: value }) === 'string'))
    fc.assert(fc.property(fc.jsonValue(), (value) => typeof text({ model: 'tiny', options: value }) === 'string'))
    fc.assert(fc.property(fc.string(), (value) => typeof errorOf(() => parseSpec(value)) === 'string'))
  })
})
