import { useQueries } from '@tanstack/react-query'
import { scansQuery } from '@/api/queries/storage-objects'
import type { ImageStorage, StorageScan } from '@/api/types'
import { lastComplete } from '@/features/storages/objects'

/** Returns a function from a storage's id to its last complete scan. */
export function useFindings(
  storages: readonly ImageStorage[] | undefined,
): (id: string) => StorageScan | undefined {
  const ids = storages?.map(({ id }) => id) ?? []
  const scans = useQueries({ queries: ids.map((id) => scansQuery(id)) })
  return (id) => lastComplete(scans[ids.indexOf(id)]?.data)
}
