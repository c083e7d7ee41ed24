import { ShardloomError } from '@shardloom/core'
import { type Efficiency, efficiencyFields } from '@shardloom/simulator'
import type { ReadText } from './load-model.js'
import { parseText } from './parse-spec.js'
import { shown } from './spec-error.js'

/** What a fit of constants rests on, and what it leaves. */
interface Fit {
  /** Times that were measured. */
  readonly measurements: number
  /** Different steps among them: measured again, one settles no more constants. */
  readonly steps: number
  /** Constants that the measurements depend on, which are free to move. */
  readonly constants: number
  /** The mean size of predicted over measured less 1, with the fitted constants. */
  readonly meanError: number
}

/** Constants of an accelerator that were fitted to measurements, as `shardloom calibrate` writes them. */
export interface EfficiencyFile {
  readonly schema: 'shardloom.efficiency/1'
  /** The accelerator that was measured, by its name in a spec. */
  readonly accelerator: string
  readonly source: string
  /** How the values were found; a file that was written by hand has none. */
  readonly fit?: Fit
  /** Any of the constants: the others stay as they are. */
  readonly values: Partial<Efficiency>
}

/** The longest text of such a file, in UTF-16 code units. */
const largestFile = 1_000_000

/** The constants that a spec names as a file. Undefined without one. Throws `NO_ACCESS`, `EFFICIENCY_SYNTAX`, `EFFICIENCY_VALUE`. */
export async function loadEfficiency(
  path: string | undefined,
  readText: ReadText | undefined,
): Promise<EfficiencyFile | undefined> {
  if (path === undefined) return undefined
  if (!readText)
    throw new ShardloomError(
      'NO_ACCESS',
      `The spec names the constants in ${shown(path)}, but no files can be read here.`,
      {
        subject: 'options.efficiency',
        help: 'Pass `readText`, or leave it out.',
      },
    )
  return checkEfficiency(parseText(await readText(path), path, 'EFFICIENCY', largestFile), path)
}

function checkEfficiency(value: unknown, path: string): EfficiencyFile {
  const fields = new Map<string, unknown>(typeof value === 'object' && value !== null ? Object.entries(value) : [])
  const [schema, accelerator, values] = ['schema', 'accelerator', 'values'].map((key) => fields.get(key))
  const bad = (why: string) =>
    new ShardloomError('EFFICIENCY_VALUE', `${path} ${why}.`, {
      subject: path,
      help: '`shardloom calibrate` writes such files: {schema: shardloom.efficiency/1, accelerator: h100-sxm, values: {matmul: 0.6}}.',
    })
  if (schema !== 'shardloom.efficiency/1') throw bad('is no file of constants: `schema` is not shardloom.efficiency/1')
  if (typeof accelerator !== 'string') throw bad('names no `accelerator`')
  if (typeof values !== 'object' || values === null) throw bad('has no `values`')
  for (const [name, each] of Object.entries(values)) {
    const field = efficiencyFields.find((one) => one.name === name)
    if (!field) throw bad(`has a constant \`${name}\` that is not known`)
    if (typeof each !== 'number' || !(each > 0 && each <= field.most))
      throw bad(`has no \`${name}\` above 0 and up to ${field.most}`)
  }
  const source = fields.get('source')
  const fit = fields.get('fit')
  if (fit !== undefined && !isFit(fit))
    throw bad('has a `fit` that lacks `measurements`, `steps`, `constants` or `meanError`, numbers from 0')
  return {
    schema,
    accelerator,
    source: typeof source === 'string' ? `${source} (${path})` : path,
    ...(fit !== undefined && { fit }),
    values: values as Partial<Efficiency>, // each was checked above
  }
}

function isFit(value: unknown): value is Fit {
  const fields = new Map<string, unknown>(typeof value === 'object' && value !== null ? Object.entries(value) : [])
  return ['measurements', 'steps', 'constants', 'meanError'].every((name) => {
    const each = fields.get(name)
    return typeof each === 'number' && each >= 0 && each < Infinity
  })
}
