import { desks } from '../worker/desk.js'
import type { ExportedFile, PlanSource } from '../worker/protocol.js'
import type { ExportName, PictureName } from './export-formats.js'
import type { Picture } from './picture-of.js'

/** What is saved: a plan, or what a view shows, under the name of a plan. */
export type SaveRequest = { readonly name: string } & (
  | { readonly format: Exclude<ExportName, PictureName>; readonly source: PlanSource }
  | { readonly format: PictureName; readonly picture: Picture; readonly theme: 'light' | 'dark' }
)

/** Pixels of a PNG for each of its SVG, and the most of its longer side: what browsers still draw. */
const sharpness = 2
const longestSide = 8192

/** Makes the files of a format and hands them to the browser. Resolves to what there is to say about them. */
export async function save(request: SaveRequest): Promise<readonly string[]> {
  const name = fileName(request.name)
  const files =
    'picture' in request
      ? [await draw(request, `${name}-${request.picture.view}`)]
      : await desks.export.ask('export', { ...request.source, format: request.format, name })
  for (const file of files) download(file)
  return files.flatMap(({ notes }) => notes)
}

/** A name that every file system takes. */
export function fileName(name: string): string {
  return (
    name
      .trim()
      .toLowerCase()
      .replace(/[^\p{L}\p{N}.]+/gu, '-')
      .replace(/^[-.]+|[-.]+$/g, '')
      .slice(0, 60) || 'plan'
  )
}

type PictureRequest = Extract<SaveRequest, { readonly picture: Picture }>

async function draw({ format, picture, theme }: PictureRequest, name: string): Promise<ExportedFile> {
  const svg = await svgOf(picture, theme)
  if (format === 'view-svg') {
    return { name: `${name}.svg`, type: 'image/svg+xml', bytes: new TextEncoder().encode(svg), notes: [] }
  }
  const image = new Image()
  const address = URL.createObjectURL(new Blob([svg], { type: 'image/svg+xml' }))
  try {
    image.src = address
    await image.decode()
    const scale = Math.min(sharpness, longestSide / Math.max(image.width, image.height))
    const canvas = document.createElement('canvas')
    canvas.width = Math.round(image.width * scale)
    canvas.height = Math.round(image.height * scale)
    canvas.getContext('2d')?.drawImage(image, 0, 0, canvas.width, canvas.height)
    const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/png'))
    if (!blob) throw new Error('The picture is too large for a PNG; save it as SVG.')
    const notes = scale < sharpness ? [`drawn at ${Math.round(scale * 100)} % of its size`] : []
    return { name: `${name}.png`, type: 'image/png', bytes: new Uint8Array(await blob.arrayBuffer()), notes }
  } finally {
    URL.revokeObjectURL(address)
  }
}

async function svgOf(picture: Picture, theme: 'light' | 'dark'): Promise<string> {
  if (picture.view !== 'graph') return desks.time.ask('picture', { picture, theme })
  const { graph } = picture
  const drawn = 'placed' in graph ? graph : { view: await desks.plan.ask('graph', graph) }
  return desks.layout.ask('draw', { ...drawn, theme })
}

function download({ name, type, bytes }: ExportedFile): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([bytes], { type }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
