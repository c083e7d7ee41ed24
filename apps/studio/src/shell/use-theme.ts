import { useEffect, useState } from 'react'

type Theme = 'light' | 'dark'
const key = 'shardloom-theme'

/** The theme, which is first what the reader's system prefers, and a function that changes to the other. */
export function useTheme(): readonly [Theme, () => void] {
  const [theme, setTheme] = useState<Theme>(firstTheme)
  useEffect(() => {
    document.documentElement.dataset['theme'] = theme
  }, [theme])
  const toggle = () => {
    const next = theme === 'light' ? 'dark' : 'light'
    setTheme(next)
    try {
      localStorage.setItem(key, next)
    } catch {
      // Storage may be forbidden; then the choice lasts as long as the page.
    }
  }
  return [theme, toggle]
}

function firstTheme(): Theme {
  try {
    const kept = localStorage.getItem(key)
    if (kept === 'light' || kept === 'dark') return kept
  } catch {
    // Storage may be forbidden.
  }
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'
}
