interface GroupPictureProps {
  readonly world: number
  /** The ranks that communicate; absent where they are too many to name. */
  readonly group: readonly number[] | undefined
  readonly size: number
}

/** More ranks than this are not drawn one by one. */
const most = 512
const cell = 10

/** All ranks as squares, those that communicate with each other lit. */
export function GroupPicture({ world, group, size }: GroupPictureProps) {
  if (!group) return <p>{size} ranks communicate.</p>
  const names = `ranks ${group.slice(0, 8).join(', ')}${group.length > 8 ? ', …' : ''}`
  if (world > most)
    return (
      <p>
        {group.length} ranks communicate: {names}
      </p>
    )
  const columns = world <= 64 ? 8 : world <= 256 ? 16 : 24
  const rows = Math.ceil(world / columns)
  const lit = new Set(group)
  return (
    <figure className="group">
      <svg
        width={columns * (cell + 2)}
        height={rows * (cell + 2)}
        role="img"
        aria-label={`The group of ${group.length}: ${names}, of ${world}`}
      >
        {Array.from({ length: world }, (_, rank) => (
          <rect
            // biome-ignore lint/suspicious/noArrayIndexKey: a rank is its number
            key={rank}
            className={lit.has(rank) ? 'rank lit' : 'rank'}
            x={(rank % columns) * (cell + 2)}
            y={Math.floor(rank / columns) * (cell + 2)}
            width={cell}
            height={cell}
            rx={2}
          />
        ))}
      </svg>
      <figcaption>
        {group.length} of {world}: {names}
      </figcaption>
    </figure>
  )
}
