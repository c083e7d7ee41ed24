import { formatCount, formatCounted, formatMesh } from 'shardloom'
import { isSlope, type Proof, type ServingProof } from 'shardloom/testing'
import { type Style, singleLine } from './style.js'
import { pairs, terminalWidth, wrapped } from './table.js'

/** The proof for people, within 80 columns. */
export function proofLines(proof: Proof, style: Style): string[] {
  const { model, phase, mesh, ranks, shrunk, worst, tolerance, difference, slope } = proof
  const axes = ranks === 1 ? '' : `${formatMesh(mesh, ranks)} = `
  const sizes = shrunk.map(
    ({ name, from, to }) => `${singleLine(name)}\u00a0${formatCount(from)}\u00a0→\u00a0${formatCount(to)}`,
  )
  const lines = [
    style.bold(`${singleLine(model).slice(0, terminalWidth - 12)} · ${phase}`),
    ...pairs([
      ['ran on', `${axes}${formatCounted(ranks, 'virtual rank')}, in float64`],
      ['sizes', sizes.length > 0 ? sizes.join(', ') : 'as in the spec'],
      ['stands for', likeness(proof)],
      ['executed', executed(proof, 'compute', 'control', 'memory')],
      ['', executed(proof, 'communication')],
      ['compared', comparedText(proof)],
      ...(slope ? [['gradients', slopeText(slope)] as const] : []),
      ...(difference ? [] : [['worst', worstText(worst, tolerance)] as const]),
    ]),
    '',
    ...verdict(proof, style),
  ]
  return lines.map((line) => line.replaceAll('\u00a0', ' '))
}

/** Both phases, and what the verifier says of the cache between them. */
export function servingProofLines({ prefill, decode, violations }: ServingProof, style: Style): string[] {
  const [broken] = violations
  const between = broken
    ? [style.bad('Not proven: the plan breaks a rule.'), ...wrapped(singleLine(broken.message), 2)]
    : [style.good('Between the phases:'), '  each block of the KV cache is sent, and received where it is read.']
  return [...proofLines(prefill, style), '', ...proofLines(decode, style), '', ...between]
}

const what: Readonly<Record<string, string>> = {
  training: 'loss, gradients and updated parameters are',
  prefill: 'the next tokens and the KV cache are',
  decode: 'the tokens of all steps and the KV cache are',
}

function verdict({ difference, violations, slope, phase, proven, ranks }: Proof, style: Style): string[] {
  if (difference) {
    const refuted = style.bad('Not proven: the plan computes something else than one device.')
    return [refuted, ...wrapped(singleLine(difference.message), 2)]
  }
  const [broken] = violations
  if (broken) {
    const more = violations.length > 1 ? ` \`shardloom verify\` names ${violations.length - 1} more.` : ''
    return [style.bad('Not proven: the plan breaks a rule.'), ...wrapped(singleLine(broken.message) + more, 2)]
  }
  if (slope && !isSlope(slope)) {
    const refuted = style.bad('Not proven: gradients are not the slope of the loss, on one device already.')
    const more = slope.parameters.length > 3 ? `, and ${slope.parameters.length - 3} more` : ''
    const names = `${slope.parameters.slice(0, 3).map(singleLine).join(', ') || 'the parameters'}${more}`
    return [refuted, ...wrapped(`Look at the \`derivative\` of the operators between the loss and ${names}.`, 2)]
  }
  if (ranks === 1) return ['There is one rank: nothing is split, so there is nothing to prove.']
  const result = `${what[phase] ?? 'the results are'} what the same operators compute on one device.`
  if (proven) return [style.good('Proven:'), ...wrapped(result, 2)]
  return [
    style.bad('Proven in part:'),
    ...wrapped(`${result} The full plan has nodes that this one lacks; what they do was not run.`, 2),
  ]
}

function slopeText({ error }: NonNullable<Proof['slope']>): string {
  return `against the slope of the loss, on one device: relative error ${error.toExponential(1)}`
}

function comparedText({ compared, uncompared }: Proof): string {
  const rest =
    uncompared === 0
      ? ''
      : `; ${formatCounted(uncompared, 'sum exists', 'sums exist')} only on ranks, ${uncompared === 1 ? 'its' : 'their'} readers are compared`
  return `${formatCounted(compared, 'tensor')} with one device, on every rank that holds them${rest}`
}

function worstText({ error, tensor }: Proof['worst'], tolerance: number): string {
  return error === 0
    ? 'no difference at all'
    : `${error.toExponential(1)} of the largest element, in ${singleLine(tensor)} (limit ${tolerance})`
}

/** In how far the plan that ran is the one of the spec. */
function likeness({ unlike, shrunk }: Proof): string {
  if (shrunk.length === 0) return 'the spec itself'
  if (unlike.length === 0) return 'the full plan: every node splits and communicates as it does there'
  const shown = unlike.slice(0, 3).map(singleLine).join(', ')
  const more = unlike.length > 3 ? `, and ${unlike.length - 3} more` : ''
  return `the full plan except ${formatCounted(unlike.length, 'node, which differs', 'nodes, which differ')} at this size: ${shown}${more}`
}

/** How often the kinds of nodes ran, the most frequent operators first. */
function executed({ executed: all }: Proof, ...kinds: readonly Proof['executed'][number]['kind'][]): string {
  const own = all.filter(({ kind }) => kinds.includes(kind)).sort((a, b) => b.count - a.count)
  const total = own.reduce((sum, { count }) => sum + count, 0)
  const names = own.map(({ op, count }) => `${singleLine(op)}\u00a0${formatCount(count)}`)
  if (kinds.includes('communication')) return names.length > 0 ? names.join(', ') : 'no communication'
  return `${formatCounted(total, 'operator')} of ${formatCounted(own.length, 'kind')}`
}
