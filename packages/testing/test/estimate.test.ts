import { describe, expect, it } from 'vitest'
import { draw } from '../../core/test/draw.js'
import { planned } from '../../core/test/planned.js'
import { thrown } from '../../core/test/thrown.js'
import { defaultLimit, estimate } from '../src/estimate.js'
import { interpret } from '../src/interpret.js'
import { place } from './drawn.js'

const program = draw({ row: 4, column: 3, inner: 6 }, 'y = matmul(x, w): row inner, inner column -> row column', {
  id: 'layers',
  axis: 'layer',
  extent: 5,
  bodies: { layer: 'z = square(h): row column -> row column' },
  carry: { initial: 'y', inner: 'h', next: ['z'], result: 'out' },
})

describe('estimate', () => {
  it('counts points by execution and rank, and eight bytes for each element that is kept', () => {
    // 4 · 6 · 3 products, and five layers of 4 · 3 squares.
    expect(estimate(place(program, {}, {})).points).toBe(72 + 60)
    // x 24, w 18, y 12, five times h and z, out 12.
    expect(estimate(place(program, {}, {})).bytes).toBe(8 * (24 + 18 + 12 + 5 * 24 + 12))
  })

  it('splits points over ranks and repeats what is replicated', () => {
    const split = place(program, { a: 2 }, { a: 'row' })
    expect(estimate(split).points).toBe(132)
    const idle = place(program, { a: 2 }, {})
    expect(estimate(idle).points).toBe(264)
  })

  it('refuses a real model before it allocates anything, and says what to do', () => {
    const { program: large, operators } = planned(
      'llama-3.1-405b',
      { phase: 'training', batch: 2, seq: 8192 },
      { tp: 8 },
    )
    expect(estimate(large).points).toBeGreaterThan(defaultLimit.points)
    const error = thrown(() => interpret(large, operators))
    expect(error.code).toBe('INTERPRET_SIZE')
    expect(error.message).toMatch(/`Llama 3\.1 405B` on 8 virtual ranks .* the limits are 1\.0e\+9 and 1\.0e\+9\.$/)
    expect(error.help).toMatch(/^Use smaller dims.* fewer layers, or lower degrees/)
  })
})
