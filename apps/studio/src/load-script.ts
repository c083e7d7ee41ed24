/**
 * Runs a classic script that stands beside the page, once the page needs it: a page from disk may read no files and import no modules,
 * but run scripts. Rejects where there is none.
 */
export function loadScript(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script')
    script.src = `./${path}`
    script.onload = () => {
      script.remove()
      resolve()
    }
    script.onerror = () => {
      script.remove()
      reject(new Error(`${path} cannot be loaded: it has to stand beside the page.`))
    }
    document.head.append(script)
  })
}
