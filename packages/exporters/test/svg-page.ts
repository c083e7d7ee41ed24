import { JSDOM } from 'jsdom'

const { DOMParser } = new JSDOM('').window

/** An SVG file as an XML parser reads it. Throws where it is not well-formed. */
export function parseSvg(text: string): Document {
  const document = new DOMParser().parseFromString(text, 'image/svg+xml')
  const [error] = document.getElementsByTagName('parsererror')
  if (error || document.documentElement.localName !== 'svg') throw new Error(error?.textContent ?? 'no svg element')
  return document
}

/** Everything in a picture that names share a page with others: ids, classes, and what refers to them. */
export function namesIn(text: string): string[] {
  const found = [...text.matchAll(/ (?:id|class)="([^"]+)"|url\(#([^)]+)\)/g)]
  return found.flatMap(([, names, reference]) => (reference ? [reference] : (names ?? '').split(' ')))
}

/** The rectangles of a class with numbers for attributes. */
export function boxesOf(root: ParentNode, name: string): { x: number; y: number; width: number; height: number }[] {
  const number = (element: Element, attribute: string) => Number(element.getAttribute(attribute))
  return [...root.querySelectorAll(`rect[class~="${name}"]`)].map((element) => ({
    x: number(element, 'x'),
    y: number(element, 'y'),
    width: number(element, 'width'),
    height: number(element, 'height'),
  }))
}
