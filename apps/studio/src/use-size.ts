import { type RefObject, useEffect, useState } from 'react'

/** The size of an element in CSS pixels, and the density of the screen, as they change. */
export function useSize(ref: RefObject<HTMLElement | null>): { width: number; height: number; density: number } {
  const [size, setSize] = useState({ width: 0, height: 0, density: 1 })
  useEffect(() => {
    const element = ref.current
    if (!element) return
    const update = () => {
      const { clientWidth: width, clientHeight: height } = element
      setSize((known) =>
        known.width === width && known.height === height && known.density === devicePixelRatio
          ? known
          : { width, height, density: devicePixelRatio },
      )
    }
    const observer = new ResizeObserver(update)
    observer.observe(element)
    addEventListener('resize', update)
    update()
    return () => {
      observer.disconnect()
      removeEventListener('resize', update)
    }
  }, [ref])
  return size
}
