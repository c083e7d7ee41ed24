import { InvalidArgumentError, Option } from 'commander'

/** `--rank r`: the rank that is described. */
export function rankOption(): Option {
  return new Option('--rank <r>', 'the rank that is described').default(0).argParser(parseRank)
}

/** A rank as typed: a whole number from 0. Whether the mesh has it, the plan says. */
export function parseRank(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('A rank is a whole number from 0.')
}
