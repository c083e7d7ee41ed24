/** Whether a value that nobody has checked yet has fields by name: no list, and not null. */
export const isFields = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
