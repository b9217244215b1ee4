/**
 * The names of the images and instances that tasks refer to: tasks have ids only, so that a rename
 * shows everywhere.
 */
import { type QueryClient, type UseQueryResult, useQueries, useQueryClient } from '@tanstack/react-query'
import { asProblem, Problem } from '@/lib/problem'
import { batched } from '../batch'
import type { Pages } from '../events-reducer'
import { keys } from '../keys'
import type { Image, Instance } from '../types'
import { loadImages } from './images'
import { loadInstances } from './instances'

/** The name; `undefined` while it is not known yet, `null` of what the server does not have. */
export type Name = string | undefined | null

export interface Names {
  image: (id: string | null | undefined) => Name
  instance: (id: string | null | undefined) => Name
}

/** What is referred to; ids may be repeated or missing. */
export interface References {
  images?: readonly (string | null | undefined)[]
  instances?: readonly (string | null | undefined)[]
}

/** The most ids of one request. */
const MOST_IDS = 100

/** What the server accepts as an id. */
const ID = /^[a-z]+_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

const image = batched<Image>(loadImages, MOST_IDS)
const instance = batched<Instance>(loadInstances, MOST_IDS)

/**
 * Returns the names of the images and instances that are referred to. Those that no loaded list has
 * are loaded by their ids.
 */
export function useNames({ images = [], instances = [] }: References): Names {
  return {
    image: useNamesOf(images, keys.images, image),
    instance: useNamesOf(instances, keys.instances, instance),
  }
}

type Named = { id: string; name: string }
type NounKeys = typeof keys.images | typeof keys.instances

function useNamesOf<T extends Named>(
  references: readonly (string | null | undefined)[],
  { lists, one }: NounKeys,
  load: (id: string) => Promise<T | null>,
): (id: string | null | undefined) => Name {
  const cache = useQueryClient()
  const ids = [...new Set(references.filter((id): id is string => id != null && ID.test(id)))]
  const results = useQueries({
    queries: ids.map((id) => ({
      queryKey: one(id),
      queryFn: async () => (await load(id)) ?? missing(),
      initialData: () => inLists<T>(cache, lists, id),
    })),
  })
  return (id) => {
    if (id == null) return undefined
    const index = ids.indexOf(id)
    // An address may hold anything.
    if (index === -1) return ID.test(id) ? undefined : null
    return nameOf(results[index])
  }
}

/** What the page of the thing would get from the server: the same key has the same error. */
function missing(): never {
  throw new Problem(404, 'not_found', 'Not found', 'there is no such thing')
}

function nameOf(result: UseQueryResult<Named> | undefined): Name {
  if (result?.data) return result.data.name
  return result?.isError && asProblem(result.error).status === 404 ? null : undefined
}

function inLists<T extends Named>(cache: QueryClient, lists: readonly unknown[], id: string): T | undefined {
  for (const [, list] of cache.getQueriesData<Pages<T>>({ queryKey: lists })) {
    for (const page of list?.pages ?? []) {
      const item = page.items.find((candidate) => candidate.id === id)
      if (item) return item
    }
  }
  return undefined
}
