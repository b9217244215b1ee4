import { infiniteQueryOptions, queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { applyChange, seedTaskList } from '../cache'
import { client, unwrap } from '../client'
import { useSubmissionKey } from '../idempotency'
import { keys } from '../keys'
import type { CaptureFormat, Image, ImageCreate, ImagePatch } from '../types'

export type Compression = NonNullable<ImageCreate['compression']>

export interface ImageFilter {
  scope: 'own' | 'stock' | 'shared' | 'all'
  q?: string
  tag?: string
  status?: string
  sort?: string
}

/** The number of rows in one page of a list. */
const PAGE_SIZE = 100

export const imagesQuery = (filter: ImageFilter) =>
  infiniteQueryOptions({
    queryKey: keys.images.list(filter),
    queryFn: ({ signal, pageParam }) =>
      unwrap(
        client.GET('/api/v1/images', {
          params: { query: { ...filter, limit: PAGE_SIZE, ...(pageParam ? { page_token: pageParam } : {}) } },
          signal,
        }),
      ),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_page_token ?? undefined,
  })

/** Loads the images with those ids that the account sees, stock images as well. */
export const loadImages = async (ids: readonly string[]): Promise<Image[]> => {
  const query = { scope: 'all', ids: ids.join(','), limit: ids.length } as const
  return (await unwrap(client.GET('/api/v1/images', { params: { query } }))).items
}

export const imageQuery = (id: string) =>
  queryOptions({
    queryKey: keys.images.one(id),
    queryFn: ({ signal }) => unwrap(client.GET('/api/v1/images/{id}', { params: { path: { id } }, signal })),
  })

/** What was found inside of an image's disk: it is read again when the image changes. */
export const imageFindingsQuery = ({ id, version }: Pick<Image, 'id' | 'version'>) =>
  queryOptions({
    queryKey: keys.imageFindings.of(id, version),
    queryFn: ({ signal }) =>
      unwrap(client.GET('/api/v1/images/{id}/findings', { params: { path: { id } }, signal })),
  })

/** What an image of an instance would take, in the format and the compression that are named. */
export const estimateQuery = (instanceId: string, format?: CaptureFormat, compression?: Compression) =>
  queryOptions({
    queryKey: keys.captureEstimates.of(instanceId, format, compression),
    queryFn: ({ signal }) =>
      unwrap(
        client.GET('/api/v1/instances/{id}/capture-estimate', {
          params: {
            path: { id: instanceId },
            query: { ...(format && { format }), ...(compression && { compression }) },
          },
          signal,
        }),
      ),
    // The disk grows, and captures end.
    staleTime: 0,
  })

/** Returns a function that loads the current version of an image. */
export function useLoadImage(): (id: string) => Promise<Image> {
  const cache = useQueryClient()
  return (id) => cache.fetchQuery({ ...imageQuery(id), staleTime: 0 })
}

/** Returns the entity tag of an image's version, for `If-Match`. */
const etag = (image: Image) => `"${image.version}"`

export function useCaptureImage() {
  const cache = useQueryClient()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: ImageCreate) =>
      unwrap(client.POST('/api/v1/images', { params: { header: { 'Idempotency-Key': keyOf(body) } }, body })),
    onSuccess: ({ image, task }) => {
      applyChange(cache, { noun: 'image', id: image.id, item: image })
      applyChange(cache, { noun: 'task', id: task.id, item: task })
      seedTaskList(cache, { image_id: image.id }, task)
      void cache.invalidateQueries({ queryKey: keys.instances.all })
    },
  })
}

/** Begins an import; an upload is sent afterwards. */
export const useImportImage = useCaptureImage

export function useEditImage() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ image, patch }: { image: Image; patch: ImagePatch }) =>
      unwrap(
        client.PATCH('/api/v1/images/{id}', {
          params: { path: { id: image.id }, header: { 'If-Match': etag(image) } },
          body: patch,
          headers: { 'Content-Type': 'application/merge-patch+json' },
        }),
      ),
    onSuccess: (image) => applyChange(cache, { noun: 'image', id: image.id, item: image }),
    // The version that was refused is out of date: load the current one.
    onError: () => cache.invalidateQueries({ queryKey: keys.images.all }),
  })
}

export function useDeleteImage() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: (image: Image) =>
      unwrap(
        client.DELETE('/api/v1/images/{id}', {
          params: { path: { id: image.id }, header: { 'If-Match': etag(image) } },
        }),
      ),
    onSuccess: ({ image, task }) => {
      applyChange(cache, { noun: 'image', id: image.id, item: image })
      applyChange(cache, { noun: 'task', id: task.id, item: task })
    },
    onError: () => cache.invalidateQueries({ queryKey: keys.images.all }),
  })
}
