/** Exports of images. */
import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { applyChange } from '../cache'
import { client, unwrap } from '../client'
import { useSubmissionKey } from '../idempotency'
import { keys } from '../keys'
import type { ExportCreate, ImageExport } from '../types'

/** The most exports of a list: an image has one for each format and its options. */
const MAX_EXPORTS = 100

/** The exports of an image, oldest first, for its owner. */
export const exportsOfImageQuery = (id: string) =>
  queryOptions({
    queryKey: keys.exports.ofImage(id),
    queryFn: async ({ signal }) =>
      (
        await unwrap(
          client.GET('/api/v1/images/{id}/exports', {
            params: { path: { id }, query: { limit: MAX_EXPORTS } },
            signal,
          }),
        )
      ).items,
  })

export function useExportImage() {
  const cache = useQueryClient()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: ({ imageId, body }: { imageId: string; body: ExportCreate }) =>
      unwrap(
        client.POST('/api/v1/images/{id}/exports', {
          params: { path: { id: imageId }, header: { 'Idempotency-Key': keyOf({ imageId, body }) } },
          body,
        }),
      ),
    onSuccess: ({ task }) => {
      applyChange(cache, { noun: 'task', id: task.id, item: task })
      void cache.invalidateQueries({ queryKey: keys.exports.all })
    },
  })
}

export function useDeleteExport() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ image_id, id }: ImageExport) =>
      unwrap(
        client.DELETE('/api/v1/images/{id}/exports/{export_id}', {
          params: { path: { id: image_id, export_id: id } },
        }),
      ),
    onSettled: () => cache.invalidateQueries({ queryKey: keys.exports.all }),
  })
}

/** The address of the file, which the browser downloads. */
export const contentUrl = ({ image_id, id }: ImageExport): string =>
  `/api/v1/images/${image_id}/exports/${id}/content`
