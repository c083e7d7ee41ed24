import { checkState, type StudioState } from './studio-state.js'

/** What a fragment begins with; another number would be another way to write it. */
const version = '1.'

/** The longest fragment, in characters, and the most bytes that it may unpack to: what the longest spec needs, whatever it says. */
const longestFragment = 1_000_000
const mostBytes = 4_000_000

/**
 * The state as the fragment of a URL: JSON, deflated, in the 64 characters that URLs leave as they are. Undefined where the plans are together
 * more than a link may hold; one plan never is.
 */
export async function writeFragment(state: StudioState): Promise<string | undefined> {
  const bytes = new TextEncoder().encode(JSON.stringify(state))
  if (bytes.length > mostBytes) return undefined
  const packed = new Blob([bytes]).stream().pipeThrough(new CompressionStream('deflate-raw'))
  const whole = new Uint8Array(await new Response(packed).arrayBuffer())
  let text = ''
  for (let at = 0; at < whole.length; at += 0x8000) text += String.fromCharCode(...whole.subarray(at, at + 0x8000))
  const fragment = version + btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')
  return fragment.length > longestFragment ? undefined : fragment
}

/** The state of a fragment, without its `#`. Throws an Error that says why there is none. */
export async function readFragment(fragment: string): Promise<StudioState> {
  if (!fragment.startsWith(version)) throw new Error('it does not begin as links of the studio do')
  if (fragment.length > longestFragment) throw new Error(`it is longer than ${longestFragment} characters`)
  if (!/^[\w-]*$/.test(fragment.slice(version.length))) throw new Error('it has characters that links do not have')
  const text = await unpacked(fragment.slice(version.length)).catch((error: unknown) => {
    if (error instanceof RangeError) throw error
    throw new Error('it is cut off or changed')
  })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('it is cut off or changed')
  }
  return checkState(value)
}

async function unpacked(base64: string): Promise<string> {
  const bytes = Uint8Array.from(atob(base64.replaceAll('-', '+').replaceAll('_', '/')), (each) => each.charCodeAt(0))
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader()
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let [text, size] = ['', 0]
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    size += value.length
    if (size > mostBytes) {
      void reader.cancel()
      throw new RangeError(`it unpacks to more than ${mostBytes} bytes`)
    }
    text += decoder.decode(value, { stream: true })
  }
}
