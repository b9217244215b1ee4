import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { storageQuery } from '@/api/queries/storages'
import type { ImageStorage } from '@/api/types'
import { asProblem } from '@/lib/problem'
import { Skeleton } from '@/ui/Page'
import { MissingPage } from './NotFoundPage'
import { ProblemPage } from './ProblemPage'

export type StoragePageView =
  | { storage: ImageStorage; instead?: never }
  | { storage?: never; instead: ReactNode }

/** Returns the storage of a page, or what the page shows while there is none. */
export function useStoragePage(id: string): StoragePageView {
  const { data: storage, error, isPending, refetch } = useQuery(storageQuery(id))
  if (isPending) return { instead: <Skeleton label="Loading the image storage" /> }
  if (storage) return { storage }
  const problem = asProblem(error)
  const back = <Link to="/image-storages">Image Storages</Link>
  const isMissing = problem.status === 404 || problem.status === 400
  return {
    instead: isMissing ? (
      <MissingPage what="Image storage" back={back} />
    ) : (
      <ProblemPage title="Image storage" back={back} problem={problem} onRetry={() => void refetch()} />
    ),
  }
}
