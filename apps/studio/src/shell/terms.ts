/** What the pipeline bubble is: part of what ranks idle, which is all of their waiting, for communication too. */
export const bubbleTitle =
  'Pipeline bubble: the share of the step in which ranks wait for other stages of the pipeline. Idle, in the timeline, is all waiting, also for communication.'
