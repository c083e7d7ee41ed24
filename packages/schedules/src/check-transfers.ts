import { B, F, formatPacked, I, KIND_BITS, RECV_B, RECV_F, SEND_B, SEND_F } from './action.js'
import { quote, ScheduleError } from './error.js'
import { flowOf } from './schedule.js'
import type { TransferLists } from './transfers.js'

/**
 * How sends and receives are matched and what they block.
 *
 * - `in-order`: one stream per rank runs its list in order; a send and its receive block until both are at the head.
 * - `grouped`: the transfers between two computations of a rank start together and block until all of them are done.
 * - `per-pair`: sends never block; the receives of a rank from another take what that one sent in the order of sending.
 * - `per-border`: the same, with a queue of its own per pair of neighbouring stages and direction.
 */
export type TransferDiscipline = 'in-order' | 'grouped' | 'per-pair' | 'per-border'

/** The disciplines that {@link checkTransfers} knows. */
export const transferDisciplines = ['in-order', 'grouped', 'per-pair', 'per-border'] as const

/** What goes wrong with one action of a rank's list. */
export interface TransferProblem {
  /**
   * `unmatched`: a send without its receive or the other way round, or one too many. `missing`: a computation whose
   * operand was not received before. `mismatch`: a receive that gets what another one should. `wait`: the rank hangs.
   */
  readonly kind: 'unmatched' | 'missing' | 'mismatch' | 'wait'
  readonly rank: number
  /** The place in the rank's list, from 0. */
  readonly position: number
  /** The action in PyTorch's grammar. */
  readonly action: string
  /** A full sentence. */
  readonly message: string
}

/** Whether lists run under a discipline, and what stops them. */
export interface TransferReport {
  readonly discipline: TransferDiscipline
  readonly ok: boolean
  /** How many transfers the lists hold, sends and receives being one. */
  readonly transfers: number
  readonly problems: readonly TransferProblem[]
  /** Ranks that wait for each other in a circle, each for the one after it; empty when there is none. */
  readonly cycle: readonly number[]
}

/** Runs the lists of a schedule under a discipline. It never throws for what the lists do, only for an unknown discipline. */
export function checkTransfers(lists: TransferLists, discipline: TransferDiscipline): TransferReport {
  if (!transferDisciplines.includes(discipline)) {
    throw new ScheduleError('UNKNOWN_DISCIPLINE', `There is no discipline ${quote(discipline)}.`, {
      subject: 'discipline',
      help: `Use one of ${transferDisciplines.join(', ')}.`,
    })
  }
  const run = new Run(lists)
  run.findUnmatched()
  if (discipline === 'in-order') run.inOrder()
  else if (discipline === 'grouped') run.grouped()
  else run.queued(discipline)
  return {
    discipline,
    ok: run.problems.length === 0,
    transfers: run.transfers,
    problems: run.problems,
    cycle: run.cycle,
  }
}

const isSend = (kind: number) => kind === SEND_F || kind === SEND_B

class Run {
  readonly problems: TransferProblem[] = []
  cycle: number[] = []
  transfers = 0
  readonly #lists: readonly Int32Array[]
  readonly #m: number
  readonly #cells: number
  readonly #stageRanks: Int32Array
  readonly #previous: Int32Array
  readonly #next: Int32Array
  readonly #at: Int32Array
  /** Messages that a rank has received, by message, and results that it has computed. */
  readonly #received: Uint8Array
  readonly #computed: Uint8Array
  /** Messages that can never be matched. */
  readonly #broken = new Set<number>()

  constructor({ schedule, lists }: TransferLists) {
    this.#lists = lists
    this.#m = schedule.microbatches
    this.#stageRanks = schedule.stageRanks
    this.#cells = schedule.stageRanks.length * this.#m
    const flow = flowOf(schedule)
    this.#previous = flow.previous
    this.#next = flow.next
    this.#at = new Int32Array(lists.length)
    this.#received = new Uint8Array(2 * this.#cells)
    this.#computed = new Uint8Array(2 * this.#cells)
  }

  /** The number of a message, named by the stage that receives it; −1 when there is no such stage. */
  #message(code: number): number {
    const kind = code & 7
    const cell = code >> KIND_BITS
    const stage = Math.floor(cell / this.#m)
    if (kind === RECV_F) return (this.#previous[stage] as number) < 0 ? -1 : cell
    if (kind === RECV_B) return (this.#next[stage] as number) < 0 ? -1 : this.#cells + cell
    if (kind === SEND_F) return (this.#next[stage] as number) < 0 ? -1 : cell + this.#m
    return (this.#previous[stage] as number) < 0 ? -1 : this.#cells + cell - this.#m
  }

  /** The rank at the other end of a transfer. */
  #peer(code: number): number {
    const kind = code & 7
    const stage = Math.floor((code >> KIND_BITS) / this.#m)
    return this.#stageRanks[kind === SEND_F || kind === RECV_B ? stage + 1 : stage - 1] as number
  }

  #report(kind: TransferProblem['kind'], rank: number, position: number, rest: string): void {
    const action = formatPacked(this.#lists[rank]?.[position] ?? 0, this.#m)
    const message = `rank ${rank}, action ${position + 1} (${action}) ${rest}`
    this.problems.push({ kind, rank, position, action, message })
  }

  findUnmatched(): void {
    const sends = new Int32Array(2 * this.#cells)
    const receives = new Int32Array(2 * this.#cells)
    const each = (visit: (rank: number, position: number, code: number, message: number) => void) => {
      for (const [rank, list] of this.#lists.entries()) {
        for (let position = 0; position < list.length; position++) {
          const code = list[position] as number
          if ((code & 7) > B) visit(rank, position, code, this.#message(code))
        }
      }
    }
    each((rank, position, code, message) => {
      if (message < 0) {
        this.#report('unmatched', rank, position, 'has no stage at the other end')
        return
      }
      const counts = isSend(code & 7) ? sends : receives
      counts[message] = (counts[message] as number) + 1
      if (isSend(code & 7)) this.transfers++
    })
    each((rank, position, code, message) => {
      if (message < 0 || (sends[message] === 1 && receives[message] === 1)) return
      this.#broken.add(message)
      const [here, there, name] = isSend(code & 7)
        ? [sends[message], receives[message], 'receives']
        : [receives[message], sends[message], 'sends']
      this.#report(
        'unmatched',
        rank,
        position,
        `stands ${here} times in the lists, with ${there} ${name} on rank ${this.#peer(code)}`,
      )
    })
  }

  /** Runs the computations at a rank's head; returns whether it stands at a transfer. */
  #compute(rank: number): boolean {
    const list = this.#lists[rank] as Int32Array
    let at = this.#at[rank] as number
    for (; at < list.length; at++) {
      const code = list[at] as number
      const kind = code & 7
      if (kind > B) break
      const cell = code >> KIND_BITS
      const stage = Math.floor(cell / this.#m)
      const backward = kind !== F
      const from = (backward ? this.#next : this.#previous)[stage] as number
      if (from >= 0 && (kind === F || kind === B || kind === I)) {
        const id = (backward ? this.#cells : 0) + cell
        const local = this.#stageRanks[from] === rank
        const there = local ? this.#computed[backward ? id + this.#m : id - this.#m] : this.#received[id]
        if (!there) {
          this.#report(
            'missing',
            rank,
            at,
            `runs before ${local ? 'its operand is computed' : 'its operand is received'}`,
          )
        }
      }
      if (kind === F) this.#computed[cell] = 1
      else if (kind === B || kind === I) this.#computed[this.#cells + cell] = 1
    }
    this.#at[rank] = at
    return at < list.length
  }

  #head(rank: number): number {
    return this.#lists[rank]?.[this.#at[rank] as number] ?? -1
  }

  inOrder(): void {
    const ready = this.#lists.map((_, rank) => rank)
    for (let rank = ready.pop(); rank !== undefined; rank = ready.pop()) {
      while (this.#compute(rank)) {
        const code = this.#head(rank)
        const message = this.#message(code)
        if (message < 0) break
        const peer = this.#peer(code)
        const other = this.#head(peer)
        if (other < 0 || (other & 7) <= B || this.#message(other) !== message || isSend(other & 7) === isSend(code & 7))
          break
        this.#received[message] = 1
        this.#at[rank] = (this.#at[rank] as number) + 1
        this.#at[peer] = (this.#at[peer] as number) + 1
        // The other rank goes on from its new head, which may be what a third one waits for.
        if (!ready.includes(peer)) ready.push(peer)
      }
    }
    this.#reportWaits((rank) => [this.#at[rank] as number])
  }

  grouped(): void {
    const pending = new Int32Array(this.#lists.length)
    const posted = new Uint8Array(2 * this.#cells)
    const groupEnd = new Int32Array(this.#lists.length)
    const ready = this.#lists.map((_, rank) => rank)
    for (let rank = ready.pop(); rank !== undefined; rank = ready.pop()) {
      this.#at[rank] = Math.max(this.#at[rank] as number, groupEnd[rank] as number)
      if (!this.#compute(rank)) continue
      const list = this.#lists[rank] as Int32Array
      let end = this.#at[rank] as number
      for (; end < list.length && ((list[end] as number) & 7) > B; end++) {
        const code = list[end] as number
        const message = this.#message(code)
        pending[rank] = (pending[rank] as number) + 1
        if (message < 0 || this.#broken.has(message)) continue
        if (!posted[message]) {
          posted[message] = 1
          continue
        }
        this.#received[message] = 1
        posted[message] = 2
        const peer = this.#peer(code)
        pending[rank] = (pending[rank] as number) - 1
        pending[peer] = (pending[peer] as number) - 1
        if (peer !== rank && pending[peer] === 0) ready.push(peer)
      }
      groupEnd[rank] = end
      if (pending[rank] === 0) ready.push(rank)
    }
    this.#reportWaits((rank) => {
      const open: number[] = []
      for (let at = this.#at[rank] as number; at < (groupEnd[rank] as number); at++) {
        const message = this.#message(this.#lists[rank]?.[at] as number)
        if (message < 0 || posted[message] !== 2) open.push(at)
      }
      return open
    })
  }

  queued(discipline: 'per-pair' | 'per-border'): void {
    const queues = new Map<number, { sent: number[]; taken: number }>()
    const waiting = new Map<number, number>()
    const ready = this.#lists.map((_, rank) => rank)
    for (let rank = ready.pop(); rank !== undefined; rank = ready.pop()) {
      while (this.#compute(rank)) {
        const code = this.#head(rank)
        const message = this.#message(code)
        if (message < 0) break
        const peer = this.#peer(code)
        const sends = isSend(code & 7)
        const key = this.#queueOf(discipline, message, sends ? rank : peer, sends ? peer : rank)
        const queue = queues.get(key) ?? { sent: [], taken: 0 }
        queues.set(key, queue)
        if (sends) {
          queue.sent.push(code)
          const waiter = waiting.get(key)
          if (waiter !== undefined) {
            waiting.delete(key)
            ready.push(waiter)
          }
        } else {
          const got = queue.sent[queue.taken]
          if (got === undefined) {
            waiting.set(key, rank)
            break
          }
          queue.taken++
          if (this.#message(got) !== message) {
            const sent = formatPacked(got, this.#m)
            this.#report('mismatch', rank, this.#at[rank] as number, `gets what rank ${peer} sent as ${sent}`)
          }
          this.#received[message] = 1
        }
        this.#at[rank] = (this.#at[rank] as number) + 1
      }
    }
    this.#reportWaits((rank) => [this.#at[rank] as number])
  }

  #queueOf(discipline: 'per-pair' | 'per-border', message: number, from: number, to: number): number {
    return discipline === 'per-pair' ? from * this.#lists.length + to : Math.floor(message / this.#m)
  }

  /** Names every rank that is not at its end, and a circle of waiting ranks if there is one. */
  #reportWaits(open: (rank: number) => readonly number[]): void {
    const waitsFor = new Map<number, number[]>()
    for (const [rank, list] of this.#lists.entries()) {
      if ((this.#at[rank] as number) >= list.length) continue
      const peers: number[] = []
      for (const position of open(rank)) {
        const code = list[position] as number
        if (this.#message(code) < 0) continue
        const peer = this.#peer(code)
        peers.push(peer)
        const head = this.#head(peer)
        const stands = head < 0 ? 'which is at its end' : `which stands at ${formatPacked(head, this.#m)}`
        this.#report('wait', rank, position, `waits for rank ${peer}, ${stands}`)
      }
      waitsFor.set(rank, peers)
    }
    this.cycle = findCycle(waitsFor)
  }
}

/** A circle in a graph of who waits for whom, or nothing. */
function findCycle(waitsFor: ReadonlyMap<number, readonly number[]>): number[] {
  const finished = new Set<number>()
  for (const start of waitsFor.keys()) {
    const path: { rank: number; next: number }[] = [{ rank: start, next: 0 }]
    const onPath = new Set([start])
    while (path.length > 0) {
      const top = path.at(-1) as { rank: number; next: number }
      const peer = waitsFor.get(top.rank)?.[top.next++]
      if (peer === undefined) {
        path.pop()
        onPath.delete(top.rank)
        finished.add(top.rank)
      } else if (onPath.has(peer)) {
        return path.slice(path.findIndex(({ rank }) => rank === peer)).map(({ rank }) => rank)
      } else if (!finished.has(peer)) {
        path.push({ rank: peer, next: 0 })
        onPath.add(peer)
      }
    }
  }
  return []
}
