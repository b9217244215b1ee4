import { useInfiniteQuery } from '@tanstack/react-query'
import { Layers } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import { Radio, RadioGroup } from 'react-aria-components'
import { usePollInterval } from '@/api/live'
import { imagesQuery } from '@/api/queries/images'
import type { Image } from '@/api/types'
import { formatBytes } from '@/lib/format'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { DebouncedSearchBox } from '@/ui/Filter'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, MutedText, Skeleton } from '@/ui/Page'
import { RelativeTime } from '@/ui/RelativeTime'
import styles from './ImagePicker.module.css'

export interface ImagePickerProps {
  scope: 'own' | 'shared'
  label: string
  /** The id of the selected image. */
  selected: string | undefined
  /** The selected image, which is shown also when the list does not have it. */
  chosen: Image | undefined
  onSelect: (image: Image) => void
  locationName: (id: string) => string
  empty: ReactNode
}

/** Up to so many images are seen at a glance. */
const FEW = 6

/** Puts the selected image first when the list does not have it. */
function withChosen(items: readonly Image[], chosen: Image | undefined): readonly Image[] {
  return chosen && !items.some(({ id }) => id === chosen.id) ? [chosen, ...items] : items
}

/** Shows the available images as cards, one of which can be selected. */
export function ImagePicker(props: ImagePickerProps) {
  const { scope, label, selected, chosen, onSelect, locationName, empty } = props
  const [q, setQ] = useState('')
  const refetchInterval = usePollInterval()
  const images = useInfiniteQuery({
    ...imagesQuery({ scope, status: 'available', sort: '-created_at', ...(q ? { q } : {}) }),
    refetchInterval,
    placeholderData: (previous) => previous,
  })
  if (images.isPending) return <Skeleton label="Loading images" />
  if (images.isError && !images.data) return <ProblemNotice problem={asProblem(images.error)} />
  const found = images.data.pages.flatMap((page) => page.items)
  const items = withChosen(found, chosen)
  if (items.length === 0 && q === '') {
    return (
      <EmptyState icon={<Layers />} title="No images available">
        {empty}
      </EmptyState>
    )
  }
  return (
    <>
      {(q !== '' || images.hasNextPage || found.length > FEW) && (
        <DebouncedSearchBox label={`Search ${label}`} value={q} onChange={setQ} />
      )}
      {found.length === 0 && <MutedText>No image matches these words.</MutedText>}
      <RadioGroup
        aria-label={label}
        className={styles.group}
        value={selected ?? null}
        onChange={(id) => {
          const image = items.find((item) => item.id === id)
          if (image) onSelect(image)
        }}
      >
        {items.map((image) => (
          <Radio key={image.id} value={image.id} className={styles.card}>
            <span className={styles.name}>
              <ClampedText text={image.name} />
            </span>
            {image.description && <span className={styles.text}>{image.description}</span>}
            <span className={styles.meta}>
              {formatBytes(image.virtual_size_bytes)} disk, {locationName(image.location_id)}
              {image.shared && <>, shared by {image.shared.owner}</>}
              {scope === 'own' && (
                <>
                  , <RelativeTime at={image.created_at} />
                </>
              )}
            </span>
          </Radio>
        ))}
      </RadioGroup>
      {images.hasNextPage && (
        <Button variant="quiet" busy={images.isFetchingNextPage} onPress={() => void images.fetchNextPage()}>
          Show more
        </Button>
      )}
    </>
  )
}
