/** Choices that have one value, in a space of a few dozen candidates for eight ranks. */
const one = ['cp=1', 'ulysses=1', 'dpReplicate=1', 'microbatch=1', 'schedule=1f1b', 'split=even']
const few = [
  'order=tp,ulysses,cp,dp,pp',
  'tp=1,2',
  'pp=1,2',
  'zero=0,1',
  'recompute=none',
  'offload=none',
  'sequenceParallel=false',
]
/** The flags of that space. */
export const space = [...one, ...few].flatMap((choice) => ['--choose', choice])
/** What is trained. */
export const training = ['--model', 'llama-3.1-8b', '--cluster', 'dgx-h100', '--batch', '16', '--seq', '4096']
/** A search of that space. */
export const asked = ['search', ...training, '--ranks', '8', '--top', '2', ...space]
/** The same in one thread. */
export const small = [...asked, '--workers', '1']
/** The same as --why takes it. */
export const pointed = small.filter((word, index) => word !== '--top' && small[index - 1] !== '--top')
/** Lines that are wider than a terminal. */
export const wide = (text: string) => text.split('\n').filter((line) => [...line].length > 80)

/** The words of a line of a shell that the command prints. */
export const wordsOf = (line: string) => [...line.matchAll(/'([^']*)'|\S+/g)].map(([word, quoted]) => quoted ?? word)
