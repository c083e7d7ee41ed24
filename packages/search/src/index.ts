export type { Answer, Candidate, Counts, Keeping, Miss } from './answer.js'
