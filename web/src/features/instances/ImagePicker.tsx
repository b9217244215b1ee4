import { useInfiniteQuery } from '@tanstack/react-query'
import { Layers } from 'lucide-react'
import type { ReactNode } from 'react'
import { Radio, RadioGroup } from 'react-aria-components'
import { usePollInterval } from '@/api/live'
import { imagesQuery } from '@/api/queries/images'
import type { Image } from '@/api/types'
import { formatBytes } from '@/lib/format'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, Skeleton } from '@/ui/Page'
import { RelativeTime } from '@/ui/RelativeTime'
import styles from './ImagePicker.module.css'

export interface ImagePickerProps {
  scope: 'own' | 'stock'
  label: string
  selected: string | undefined
  onSelect: (image: Image) => void
  locationName: (id: string) => string
  empty: ReactNode
}

/** Shows the available images as cards, one of which can be selected. */
export function ImagePicker({ scope, label, selected, onSelect, locationName, empty }: ImagePickerProps) {
  const refetchInterval = usePollInterval()
  const images = useInfiniteQuery({
    ...imagesQuery({ scope, status: 'available', sort: '-created_at' }),
    refetchInterval,
  })
  if (images.isPending) return <Skeleton label="Loading images" />
  if (images.isError && !images.data) return <ProblemNotice problem={asProblem(images.error)} />
  const items = images.data.pages.flatMap((page) => page.items)
  if (items.length === 0) {
    return (
      <EmptyState icon={<Layers />} title="No images available">
        {empty}
      </EmptyState>
    )
  }
  return (
    <>
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
