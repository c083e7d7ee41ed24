/**
 * A function of whole numbers that is dear to evaluate: known at `unit` times 1, 2, 3, 4, 6, 8, 12, … (powers of two, and what lies
 * between them in the middle), each evaluated when it is first needed, and straight in between. Below `unit` it is what it is there.
 */
export class Curve {
  private readonly known = new Map<number, number>()
  private values = new Float64Array(1024).fill(Number.NaN)

  constructor(
    private readonly unit: number,
    private readonly evaluate: (x: number) => number,
  ) {}

  at(x: number): number {
    if (x >= this.values.length) {
      const longer = new Float64Array(2 * x).fill(Number.NaN)
      longer.set(this.values)
      this.values = longer
    }
    const before = this.values[x] ?? Number.NaN
    if (!Number.isNaN(before)) return before
    const value = this.between(x / this.unit)
    this.values[x] = value
    return value
  }

  private between(x: number): number {
    if (x <= 1) return this.point(1)
    const power = 2 ** Math.floor(Math.log2(x))
    const middle = power === 1 ? 2 : 1.5 * power
    const [below, above] = x < middle ? [power, middle] : [middle, 2 * power]
    if (x === below) return this.point(below)
    const [low, high] = [this.point(below), this.point(above)]
    return low + ((x - below) / (above - below)) * (high - low)
  }

  private point(place: number): number {
    const x = place * this.unit
    const known = this.known.get(x)
    if (known !== undefined) return known
    const value = this.evaluate(x)
    this.known.set(x, value)
    return value
  }
}
