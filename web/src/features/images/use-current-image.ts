import { useState } from 'react'
import { useLoadImage } from '@/api/queries/images'
import type { Image } from '@/api/types'
import { asProblem, type Problem } from '@/lib/problem'

/** The HTTP status of a request whose `If-Match` names an outdated version. */
const PRECONDITION_FAILED = 412

export interface CurrentImage {
  /** The version that the next request names. */
  image: Image
  /** Whether the image was changed elsewhere since the dialog opened. */
  isChanged: boolean
  isLoading: boolean
  /** Why a request failed, unless the only reason was an outdated version. */
  problemOf: (error: unknown) => Problem | null
  /** Loads the current version if a request failed because its version is outdated. */
  reloadAfter: (error: unknown, onLoaded?: (current: Image) => void) => void
}

/** Follows the version of an image in a dialog, so that the request succeeds when it is repeated. */
export function useCurrentImage(opened: Image): CurrentImage {
  const load = useLoadImage()
  const [image, setImage] = useState(opened)
  const [isLoading, setLoading] = useState(false)
  const [loadError, setLoadError] = useState<unknown>(null)

  const reloadAfter: CurrentImage['reloadAfter'] = (error, onLoaded) => {
    if (asProblem(error).status !== PRECONDITION_FAILED) return
    setLoading(true)
    setLoadError(null)
    load(opened.id)
      .then((current) => {
        setImage(current)
        onLoaded?.(current)
      })
      .catch(setLoadError)
      .finally(() => setLoading(false))
  }
  const problemOf = (error: unknown) => {
    if (error === null) return null
    const problem = asProblem(error)
    if (problem.status !== PRECONDITION_FAILED) return problem
    return loadError === null ? null : asProblem(loadError)
  }
  return { image, isChanged: image.version !== opened.version, isLoading, problemOf, reloadAfter }
}
