/** Pipeline schedules: everything of `@shardloom/schedules`, and the document that `shardloom schedule --json` prints. */
export * from '@shardloom/schedules'
export { type EqualCosts, type ScheduleSummary, summariseSchedule } from './summarise-schedule.js'
