import { type SliceKind, stripFills, stripParts } from 'shardloom/charts'

/** Kinds of slices, by the numbers of {@link Slices.kind}. */
export const sliceKinds: readonly SliceKind[] = ['F', 'I', 'W', 'B', 'optimizer', 'communication', 'memory', 'control']

/** Slices of all rows, ascending in time within each row, none over another. Times are in ticks. */
export interface Slices {
  /** Those of row `r` are `rowStart[r]` up to `rowStart[r + 1]`. */
  readonly rowStart: Uint32Array
  readonly start: Float64Array
  readonly end: Float64Array
  /** Index into {@link sliceKinds}. */
  readonly kind: Uint8Array
  /** Index into the names of the timeline. */
  readonly name: Uint32Array
  /** The share of its work in which forward is computed again. */
  readonly again: Float32Array
  /** Of slices in which two actions overlap the second one; its kind is 255 elsewhere. Absent: there are none. */
  readonly partner?: { readonly kind: Uint8Array; readonly name: Uint32Array }
}

/** One slice before it is in an array. */
export interface SliceInput {
  readonly start: number
  readonly end: number
  readonly kind: SliceKind
  readonly name: number
  readonly again?: number
  readonly partner?: { readonly kind: SliceKind; readonly name: number }
}

/** Packs the slices of each row. */
export function packSlices(rows: readonly Iterable<SliceInput>[]): Slices {
  const rowStart = new Uint32Array(rows.length + 1)
  let room = 1024
  let start = new Float64Array(room)
  let end = new Float64Array(room)
  let kind = new Uint8Array(room)
  let name = new Uint32Array(room)
  let again = new Float32Array(room)
  let partner: Slices['partner']
  let count = 0
  const grown = <T extends { set(from: T): void }>(to: T, from: T): T => {
    to.set(from)
    return to
  }
  rows.forEach((slices, row) => {
    for (const slice of slices) {
      if (count === room) {
        room *= 2
        start = grown(new Float64Array(room), start)
        end = grown(new Float64Array(room), end)
        kind = grown(new Uint8Array(room), kind)
        name = grown(new Uint32Array(room), name)
        again = grown(new Float32Array(room), again)
        if (partner)
          partner = {
            kind: grown(new Uint8Array(room).fill(255), partner.kind),
            name: grown(new Uint32Array(room), partner.name),
          }
      }
      start[count] = slice.start
      end[count] = slice.end
      kind[count] = sliceKinds.indexOf(slice.kind)
      name[count] = slice.name
      again[count] = slice.again ?? 0
      if (slice.partner) {
        partner ??= { kind: new Uint8Array(room).fill(255), name: new Uint32Array(room) }
        partner.kind[count] = sliceKinds.indexOf(slice.partner.kind)
        partner.name[count] = slice.partner.name
      }
      count++
    }
    rowStart[row + 1] = count
  })
  return {
    rowStart,
    start: start.slice(0, count),
    end: end.slice(0, count),
    kind: kind.slice(0, count),
    name: name.slice(0, count),
    again: again.slice(0, count),
    ...(partner && { partner: { kind: partner.kind.slice(0, count), name: partner.name.slice(0, count) } }),
  }
}

/** The first slice of a row that ends behind a time; the end of the row where none does. O(log n). */
export function firstEndingAfter({ rowStart, end }: Slices, row: number, time: number): number {
  let [low, high] = [rowStart[row] ?? 0, rowStart[row + 1] ?? 0]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((end[middle] as number) <= time) low = middle + 1
    else high = middle
  }
  return low
}

/** The slice of a row that runs at a time; −1: none. */
export function sliceAt(slices: Slices, row: number, time: number): number {
  const found = firstEndingAfter(slices, row, time)
  return found < (slices.rowStart[row + 1] ?? 0) && (slices.start[found] as number) <= time ? found : -1
}

/** How often a sum is kept. */
const stride = 16
const fillCount = stripFills.length

/** What slices are spent on, added up from the begin of their row at every {@link stride}th slice. */
export interface Sums {
  /** Where the sums of a row begin, in sums. */
  readonly rowStart: Uint32Array
  /** Ticks of each of `stripFills`, sum after sum. */
  readonly ticks: Float64Array
}

/** What each kind is spent on, where nothing is computed again: places in `stripFills`, and the share of the first of them. */
const [firstFill, secondFill, firstShare] = [new Uint8Array(8), new Uint8Array(8), new Float64Array(8)]
sliceKinds.forEach((kind, code) => {
  const [first, second = first] = stripParts(kind, 0)
  if (!first || !second) return
  firstFill[code] = stripFills.indexOf(first[0])
  secondFill[code] = stripFills.indexOf(second[0])
  firstShare[code] = first[1]
})
const againFill = stripFills.indexOf('again')

/** Adds what a piece of a slice is spent on. */
function addSlice({ kind, again, partner }: Slices, at: number, ticks: number, into: Float64Array): void {
  const code = kind[at] as number
  const other = partner?.kind[at] ?? 255
  const own = other === 255 ? ticks : ticks / 2
  addKind(code, again[at] as number, own, into)
  if (other !== 255) addKind(other, 0, own, into)
}

function addKind(code: number, again: number, ticks: number, into: Float64Array): void {
  let rest = ticks
  if (again > 0) {
    into[againFill] = (into[againFill] as number) + ticks * again
    rest = ticks * (1 - again)
  }
  const first = rest * (firstShare[code] as number)
  into[firstFill[code] as number] = (into[firstFill[code] as number] as number) + first
  if (first < rest) into[secondFill[code] as number] = (into[secondFill[code] as number] as number) + rest - first
}

/** Adds slices up, so that what any span is spent on is found in O(log n). */
export function sumsOf(slices: Slices): Sums {
  const rows = slices.rowStart.length - 1
  const rowStart = new Uint32Array(rows + 1)
  for (let row = 0; row < rows; row++) {
    const count = (slices.rowStart[row + 1] as number) - (slices.rowStart[row] as number)
    rowStart[row + 1] = (rowStart[row] as number) + Math.ceil((count + 1) / stride)
  }
  const ticks = new Float64Array((rowStart[rows] as number) * fillCount)
  const sum = new Float64Array(fillCount)
  for (let row = 0; row < rows; row++) {
    sum.fill(0)
    const [first, last] = [slices.rowStart[row] as number, slices.rowStart[row + 1] as number]
    for (let at = first; at <= last; at++) {
      if ((at - first) % stride === 0) ticks.set(sum, ((rowStart[row] as number) + (at - first) / stride) * fillCount)
      if (at < last) addSlice(slices, at, (slices.end[at] as number) - (slices.start[at] as number), sum)
    }
  }
  return { rowStart, ticks }
}

/**
 * Writes what a row has spent on each of `stripFills` up to a time; `from` is a slice that ends no earlier than that, or the row's first
 * one that may. Returns the first slice that ends behind the time, from which a later time can go on.
 */
export function spentUntil(
  slices: Slices,
  sums: Sums,
  row: number,
  time: number,
  into: Float64Array,
  from = -1,
): number {
  const [first, last] = [slices.rowStart[row] as number, slices.rowStart[row + 1] as number]
  let at = from
  // A later time is mostly near; if it is not, halving finds it.
  for (let steps = 0; steps < 8 && at >= 0 && at < last && (slices.end[at] as number) <= time; steps++) at++
  if (at < 0 || (at < last && (slices.end[at] as number) <= time)) at = firstEndingAfter(slices, row, time)
  const block = Math.floor((at - first) / stride)
  const base = ((sums.rowStart[row] as number) + block) * fillCount
  for (let fill = 0; fill < fillCount; fill++) into[fill] = sums.ticks[base + fill] as number
  for (let each = first + block * stride; each < at; each++)
    addSlice(slices, each, (slices.end[each] as number) - (slices.start[each] as number), into)
  if (at < last && (slices.start[at] as number) < time) addSlice(slices, at, time - (slices.start[at] as number), into)
  return at
}

/** What a row spends on each of `stripFills` between two times, in ticks. */
export function spentBetween(slices: Slices, sums: Sums, row: number, from: number, to: number): Float64Array {
  const [before, until] = [new Float64Array(fillCount), new Float64Array(fillCount)]
  spentUntil(slices, sums, row, from, before)
  spentUntil(slices, sums, row, to, until)
  return until.map((ticks, fill) => ticks - (before[fill] as number))
}
