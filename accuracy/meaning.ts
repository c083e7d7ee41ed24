/** What a row lacks whose value is not understood: it says of what, and what would be understood. */
export const meaningOf = (field: string, value: string, known: readonly string[]) =>
  `what ${field} \`${value}\` means (known: ${known.join(', ')})`
