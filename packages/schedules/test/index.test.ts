import { isShardloomError } from '@shardloom/core'
import * as surface from '@shardloom/schedules'
import { expect, test } from 'vitest'

test('the public surface', () => {
  expect(Object.keys(surface).sort()).toEqual([
    'ScheduleError',
    'checkTransfers',
    'drawText',
    'figure',
    'formatStep',
    'idleShare',
    'makeSchedule',
    'mergeBackwards',
    'peakInFlight',
    'programOrder',
    'readSchedule',
    'readTransferLists',
    'resolveScheduleName',
    'scheduleNames',
    'sendsAndReceives',
    'slicer',
    'stepsOf',
    'timeSchedule',
    'transferDisciplines',
    'unpackAction',
    'writeSchedule',
    'writeTransferLists',
  ])
})

test('its errors are recognised by core, on which it does not depend', () => {
  const error = new surface.ScheduleError('SOME_CODE', 'Some message.', { help: 'Some help.', subject: 'ranks' })
  expect(isShardloomError(error)).toBe(true)
  expect(error).toMatchObject({ code: 'SOME_CODE', message: 'Some message.', help: 'Some help.', subject: 'ranks' })
})
