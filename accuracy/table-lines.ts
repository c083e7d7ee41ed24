/** A share with its sign, and without. */
export const percent = (share: number) => `${share < 0 ? '−' : '+'}${(100 * Math.abs(share)).toFixed(1)}\u00a0%`
export const plain = (share: number) => `${(100 * share).toFixed(1)}\u00a0%`
/** Four digits. */
export const number = (value: number) => String(Number(value.toPrecision(4)))

/** A table of its own for the rows of each name, with the hardware of each where `hardwareOf` tells several apart. */
export function grouped<Row>(
  rows: readonly Row[],
  nameOf: (row: Row) => string,
  heading: readonly string[],
  cells: (row: Row) => readonly string[],
  hardwareOf: (row: Row) => string = () => '',
): string[] {
  const names = [...new Set(rows.map(nameOf))]
  return names.flatMap((name) => {
    const own = rows.filter((row) => nameOf(row) === name)
    const isMixed = new Set(own.map(hardwareOf)).size > 1
    const all = (row: Row) => [...(isMixed ? [hardwareOf(row)] : []), ...cells(row)]
    return [`**${name}**`, tableLines([...(isMixed ? ['hardware'] : []), ...heading], own.map(all)).join('\n')]
  })
}

/** A table of Markdown. */
export function tableLines(heading: readonly string[], lines: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(heading), `|${heading.map(() => '---').join('|')}|`, ...lines.map(line)]
}
