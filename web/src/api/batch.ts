/**
 * One request for many things: what is asked for at about the same time is loaded together.
 */

interface Waiting<T> {
  resolve: (item: T | null) => void
  reject: (error: unknown) => void
}

/** How long requests are collected, in milliseconds: the components of one page render within it. */
const COLLECT_MS = 10

/**
 * Returns a function that loads one thing by its id, `null` if there is no such thing. `load`
 * returns those of the ids that exist; it gets at most `most` ids at once.
 */
export function batched<T extends { id: string }>(
  load: (ids: readonly string[]) => Promise<readonly T[]>,
  most: number,
): (id: string) => Promise<T | null> {
  let waiting = new Map<string, Waiting<T>[]>()

  const send = async (batch: ReadonlyMap<string, Waiting<T>[]>) => {
    try {
      const items = new Map((await load([...batch.keys()])).map((item) => [item.id, item]))
      for (const [id, all] of batch) for (const { resolve } of all) resolve(items.get(id) ?? null)
    } catch (error) {
      for (const all of batch.values()) for (const { reject } of all) reject(error)
    }
  }
  const flush = () => {
    const all = [...waiting]
    waiting = new Map()
    for (let from = 0; from < all.length; from += most) void send(new Map(all.slice(from, from + most)))
  }
  return (id) =>
    new Promise((resolve, reject) => {
      if (waiting.size === 0) setTimeout(flush, COLLECT_MS)
      waiting.set(id, [...(waiting.get(id) ?? []), { resolve, reject }])
    })
}
