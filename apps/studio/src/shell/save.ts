import type { DrawnGraph } from '../graph/placed.js'
import { desks } from '../worker/desk.js'
import type { ExportedFile, GraphRequest, PlanSource } from '../worker/protocol.js'
import type { ExportName } from './export-formats.js'

/** What is saved. */
export interface SaveRequest {
  readonly format: ExportName
  readonly name: string
  readonly source: PlanSource
  readonly theme: 'light' | 'dark'
  /** The picture on the screen, and where of a graph that is on it everything stands. */
  readonly view: GraphRequest | DrawnGraph | 'timeline' | 'memory'
}

/** Pixels of a PNG for each of its SVG, and the most of its longer side: what browsers still draw. */
const sharpness = 2
const longestSide = 8192

/** Makes the files of a format and hands them to the browser. Resolves to what there is to say about them. */
export async function save(request: SaveRequest): Promise<readonly string[]> {
  const { format, source } = request
  const name = fileName(request.name)
  const files =
    format === 'view-svg' || format === 'view-png'
      ? [await pictureOf(request, name)]
      : await desks.export.ask('export', { ...source, format, name })
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

async function pictureOf({ format, view, theme, source }: SaveRequest, name: string): Promise<ExportedFile> {
  const svg =
    typeof view === 'string'
      ? await desks.time.ask('picture', { ...source, view, theme })
      : await desks.layout.ask('draw', {
          ...('placed' in view ? view : { view: await desks.plan.ask('graph', view) }),
          theme,
        })
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

function download({ name, type, bytes }: ExportedFile): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(new Blob([bytes], { type }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
