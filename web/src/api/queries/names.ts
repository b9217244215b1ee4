/**
 * The names of the images and instances that tasks refer to: tasks have ids only, so that a rename
 * shows everywhere.
 */
import { useInfiniteQuery } from '@tanstack/react-query'
import { imagesQuery } from './images'
import { instancesQuery } from './instances'

export interface Names {
  image: (id: string | null | undefined) => string | undefined
  instance: (id: string | null | undefined) => string | undefined
}

/** Returns the names of the account's images and instances that are loaded. */
export function useNames(): Names {
  const images = useInfiniteQuery(imagesQuery({ scope: 'all', sort: '-created_at' }))
  const instances = useInfiniteQuery(instancesQuery)
  return {
    image: (id) => find(images.data?.pages, id),
    instance: (id) => find(instances.data?.pages, id),
  }
}

type Named = { items: readonly { id: string; name: string }[] }

function find(pages: readonly Named[] | undefined, id: string | null | undefined): string | undefined {
  for (const page of pages ?? []) {
    const item = page.items.find((candidate) => candidate.id === id)
    if (item) return item.name
  }
  return undefined
}
