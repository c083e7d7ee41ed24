import { Refusal } from './refusal.js'

/** Everything in a skeleton that is called after what the user asked for. */
export interface Names {
  /** The package, such as `vocab-parallel`. */
  readonly package: string
  /** The function that makes the plugin, such as `vocabParallel`. */
  readonly factory: string
  /** The mesh axis, and the plugin's name: `vp`. */
  readonly axis: string
  /** The dim that the axis splits: `vocab`. */
  readonly dim: string
  /** The pass without its plugin, and its file: `split-vocab`. */
  readonly pass: string
  /** The function that makes the pass: `splitVocab`. */
  readonly passFactory: string
}

/** The dims that a skeleton can be made for, each with the class of a preference for it. */
export const dimClasses = {
  seq: 'token',
  kv_heads: 'feature',
  ffn: 'feature',
  vocab: 'feature',
  experts: 'experts',
} as const

/** A dim that a skeleton can be made for. */
export type KnownDim = keyof typeof dimClasses

/** The axes that the spec itself knows: a plugin that claims one would meet a strategy of Shardloom's. */
export const ownAxes = ['dp', 'dpReplicate', 'tp', 'pp', 'cp', 'ulysses', 'dcp', 'ep', 'expertTp', 'replicas'] as const

/** Words that cannot name the factory: keywords, and what the skeleton's own files import. */
const takenWords = [
  'await break case catch class const continue debugger default delete do else enum export extends false finally for',
  'function if implements import in interface let new null package private protected public return static super switch',
  'this throw true try typeof undefined var void while with yield arguments eval',
  'checkPass describe expect expectEquivalent findAxis it plan spec model before where options withPreferences',
].flatMap((line) => line.split(' '))

/**
 * The names that follow from a package's name. Throws a `Refusal` for a name, an axis or a dim that cannot work. The axis is
 * by default the first letters of the name's words.
 */
export function namesOf(name: string, axis: string | undefined, dim: string): Names {
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name) || name.length > 100) {
    throw new Refusal(
      'NAME',
      `\`${printable(name)}\` cannot be the name of a package.`,
      'Use lower-case words joined by dashes, such as `vocab-parallel`.',
    )
  }
  if (!Object.hasOwn(dimClasses, dim)) {
    throw new Refusal(
      'DIM',
      `A skeleton cannot split the dim \`${printable(dim)}\`.`,
      `Use ${orList(Object.keys(dimClasses))}; any other dim can be written into the pass afterwards.`,
    )
  }
  const words = name.replace(/^strategy-(?=.)/, '').split('-')
  const pass = `split-${dim.replaceAll('_', '-')}`
  const passFactory = camelCase(pass.split('-'))
  const plain = camelCase(words)
  const factory =
    takenWords.includes(plain) || plain === passFactory || /^\d/.test(plain)
      ? `${camelCase(name.split('-'))}Strategy`
      : plain
  return { package: name, factory, axis: checkAxis(axis ?? usualAxis(words)), dim, pass, passFactory }
}

function usualAxis(words: readonly string[]): string {
  return words.length > 1 ? words.map((word) => word[0]).join('') : (words[0] ?? '')
}

function checkAxis(axis: string): string {
  const help = 'Use a short word of letters and digits that is new, such as `--axis vp`.'
  if (!/^[a-z][A-Za-z0-9]{0,31}$/.test(axis))
    throw new Refusal('AXIS', `\`${printable(axis)}\` cannot be the name of an axis.`, help)
  if (ownAxes.some((own) => own === axis))
    throw new Refusal('AXIS', `The axis \`${axis}\` is one of Shardloom's own.`, help)
  return axis
}

const camelCase = (words: readonly string[]) =>
  words.map((word, index) => (index === 0 ? word : word.charAt(0).toUpperCase() + word.slice(1))).join('')

function orList(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

/** A word from outside, short and on one line. */
function printable(word: string): string {
  return JSON.stringify(word).slice(1, -1).slice(0, 100)
}
