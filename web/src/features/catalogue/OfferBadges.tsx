import type { Image, MediaGroup } from '@/api/types'
import { Status } from '@/ui/Status'

/** Says whether customers are offered a stock image, and as what. */
export function OfferBadges({ image, group }: { image: Image; group: MediaGroup | undefined }) {
  const { catalogue } = image
  if (!catalogue) return null
  if (catalogue.hidden) return <Status tone="idle">Hidden</Status>
  if (group?.hidden) return <Status tone="idle">Hidden with its group</Status>
  if (catalogue.deprecation) {
    return (
      <Status tone="warn" hint={catalogue.deprecation.notice}>
        Deprecated
      </Status>
    )
  }
  return <Status tone="good">{catalogue.latest ? 'Latest' : 'Offered'}</Status>
}
