import type { Answer, Question } from 'shardloom/search'
import type { ParetoPicture } from 'shardloom/svg'
import type { Failure } from '../worker/protocol.js'
import type { SearchState } from './state.js'

/** A metric that the phase of a spec has. */
export interface MetricChoice {
  readonly name: string
  readonly better: 'less' | 'more'
  /** Such as `50ms`: how a bound of it is written. */
  readonly example: string
}

/** What of a spec can be searched. */
export interface SearchSpace {
  readonly phase: string
  /** What can be best; the first is what a search aims at where nobody says. */
  readonly objectives: readonly string[]
  readonly metrics: readonly MetricChoice[]
  /** How many ranks there are where nobody says; none: somebody has to. */
  readonly ranks?: number
  /** What can be chosen, with the values that are usual; none: a search makes them up. */
  readonly choices: readonly { readonly name: string; readonly values: readonly string[] }[]
}

/** A candidate that can be opened. */
export interface FoundPoint {
  /** What it has chosen: `tp 8  pp 4`. */
  readonly name: string
  /** Its spec, as `shardloom search --spec` writes it. */
  readonly text: string
}

/** One of the best. */
export interface FoundRow extends FoundPoint {
  /** Of each column of the table. */
  readonly values: readonly string[]
  /** How the objective differs from that of the best, and whether that is less than what it is good for. */
  readonly toBest: string
  readonly tie: boolean
  /** How the estimate differs from the simulation; `not simulated` where it was not. */
  readonly estimate: string
  /** Limits that it misses as simulated, or why it was not. */
  readonly faults: readonly string[]
}

/** A point of a front. */
export interface FrontPoint extends FoundPoint {
  /** Where it stands along both axes, from 0 to 1. */
  readonly x: number
  readonly y: number
  readonly values: readonly [string, string]
}

/** The candidate that misses a rule by least, and what would make it keep all. */
export interface FoundMiss extends FoundPoint {
  readonly rule: string
  readonly by: string
  readonly fixes: readonly (FoundPoint & {
    readonly change: string
    /** Whether it fits so, and whether that was simulated. */
    readonly fits: string
    readonly isOutside: boolean
    readonly value: string
  })[]
}

/** What a search came to, in the words of the command. */
export interface Found {
  readonly total: number
  readonly evaluated: number
  readonly bounded: number
  /** How many fell to which rule, most first. */
  readonly rejected: readonly { readonly rule: string; readonly count: number }[]
  readonly objective: { readonly name: string; readonly better: 'less' | 'more' }
  readonly columns: readonly string[]
  readonly rows: readonly FoundRow[]
  readonly front?: {
    readonly axes: readonly [FrontAxis, FrontAxis]
    readonly points: readonly FrontPoint[]
    /** The best that are not on it. */
    readonly others: readonly FrontPoint[]
    /** The same for a file. */
    readonly picture: ParetoPicture
  }
  readonly misses: readonly FoundMiss[]
}

/** A metric of a front. */
export interface FrontAxis {
  readonly name: string
  readonly better: 'less' | 'more'
  /** What the numbers at the ticks are in, such as `GB`. */
  readonly unit: string
  readonly logarithmic: boolean
  readonly ticks: readonly { readonly at: number; readonly text: string }[]
}

/** What is asked of the workers of a search. */
export interface SearchJobs {
  searchSpace: { request: { readonly text: string; readonly ranks?: number }; answer: SearchSpace }
  /** The question in plain data, and what could be chosen where nothing is ruled out: of that are the changes that would help. */
  searchQuestion: {
    request: { readonly text: string; readonly asked: SearchState }
    answer: { readonly question: Question; readonly wide: Question }
  }
  /** One part of a question. */
  searchPart: {
    request: { readonly question: Question; readonly part: number }
    answer: { readonly answer: Answer; readonly best?: { readonly score: number; readonly text: string } }
  }
  /** What the answers of parts come to; the best are simulated where that is wished. */
  searchFound: {
    request: {
      readonly question: Question
      readonly wide: Question
      readonly answers: readonly Answer[]
      readonly simulate: boolean
    }
    answer: Found
  }
}

/** A part that has no answer. */
export interface FailedPart {
  readonly part: number
  readonly failure: Failure
}
