import type { InputHTMLAttributes } from 'react'

interface NumberInputProps
  extends Omit<InputHTMLAttributes<HTMLInputElement>, 'type' | 'value' | 'placeholder' | 'onChange'> {
  /** What the YAML has there, whatever it is. */
  readonly value: unknown
  readonly placeholder: string
  /** Undefined where the box is empty. */
  readonly onChange: (value: number | undefined) => void
}

/** A box for a number. What the YAML has in its place instead is said, and a number may be typed over it, but not over an object. */
export function NumberInput({ value, placeholder, onChange, ...attributes }: NumberInputProps) {
  if (typeof value === 'object' && value !== null)
    return <input {...attributes} type="text" readOnly value="as the YAML says" />
  const number = Number(value)
  const taken = value === undefined || value === null || value === '' || !Number.isFinite(number) ? '' : String(number)
  return (
    <input
      {...attributes}
      type="number"
      value={taken}
      placeholder={taken === '' && value !== undefined && value !== null ? String(value).slice(0, 40) : placeholder}
      onChange={({ target }) => onChange(target.value === '' ? undefined : Number(target.value))}
    />
  )
}
