/** Stock images, as admins add and change them. */
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { applyChange } from '../cache'
import { client, unwrap } from '../client'
import { useSubmissionKey } from '../idempotency'
import { keys } from '../keys'
import type { Image, StockImageCreate, StockImagePatch } from '../types'

export function useAddStockImage() {
  const cache = useQueryClient()
  const keyOf = useSubmissionKey()
  return useMutation({
    mutationFn: (body: StockImageCreate) =>
      unwrap(
        client.POST('/api/v1/admin/stock-images', {
          params: { header: { 'Idempotency-Key': keyOf(body) } },
          body,
        }),
      ),
    onSuccess: ({ image, task }) => {
      applyChange(cache, { noun: 'image', id: image.id, item: image })
      applyChange(cache, { noun: 'task', id: task.id, item: task })
      if (image.storage) {
        void cache.invalidateQueries({ queryKey: keys.storageObjects.all(image.storage.id) })
      }
    },
  })
}

export function useEditStockImage() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ image, patch }: { image: Image; patch: StockImagePatch }) =>
      unwrap(
        client.PATCH('/api/v1/admin/stock-images/{id}', {
          params: { path: { id: image.id }, header: { 'If-Match': `"${image.version}"` } },
          body: patch,
          headers: { 'Content-Type': 'application/merge-patch+json' },
        }),
      ),
    onSuccess: (image) => applyChange(cache, { noun: 'image', id: image.id, item: image }),
    // The version that was refused is out of date: load the current one.
    onError: () => cache.invalidateQueries({ queryKey: keys.images.all }),
  })
}
