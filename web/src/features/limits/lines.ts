/** What is used of the limits of images, in short sentences. */
import type { Location } from '@/api/types'
import { bytesOf, imagesOf } from './numbers'

/**
 * Returns a line for each limit: one of the account is said once, one of a location with the
 * location's name when there are several.
 */
export function limitLines(locations: readonly Location[]): string[] {
  const lines = new Set<string>()
  for (const location of locations) {
    const place = (scope: string) =>
      scope === 'location' && locations.length > 1 ? ` in ${location.name}` : ''
    if (location.image_limit != null) {
      const used = imagesOf(location.images_used, location.image_limit)
      lines.add(`${used} images used${place(location.image_limit_scope)}`)
    }
    if (location.image_bytes_limit != null) {
      const used = bytesOf(location.image_bytes_used, location.image_bytes_limit)
      lines.add(`${used} used${place(location.image_bytes_limit_scope)}`)
    }
  }
  return [...lines]
}
