/** Why rows of a group miss, where that is known; those past the KV capacity have reasons of their own. */
const remarks: readonly { readonly match: RegExp; readonly past?: boolean; readonly remark: string }[] = []

/** What is known of why rows of a group miss. */
export function remarkOf(group: string, isPast: boolean): string | undefined {
  return remarks.find(({ match, past }) => match.test(group) && (past ?? isPast) === isPast)?.remark
}
