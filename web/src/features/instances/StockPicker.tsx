import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { Layers } from 'lucide-react'
import { useState } from 'react'
import { Radio, RadioGroup } from 'react-aria-components'
import { usePollInterval } from '@/api/live'
import { imagesQuery } from '@/api/queries/images'
import { mediaGroupsQuery } from '@/api/queries/media-groups'
import type { Image } from '@/api/types'
import { formatBytes } from '@/lib/format'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { SelectField } from '@/ui/Field'
import { DebouncedSearchBox } from '@/ui/Filter'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { EmptyState, MutedText, Skeleton } from '@/ui/Page'
import { Status } from '@/ui/Status'
import styles from './ImagePicker.module.css'
import { type StockEntry, type StockSection, sectionsOf, versionLabel } from './stock'

export interface StockPickerProps {
  /** The id of the selected image. */
  selected: string | undefined
  /** The selected stock image, which is shown also when the list does not have it. */
  chosen: Image | undefined
  onSelect: (image: Image) => void
  locationName: (id: string) => string
}

/** Up to so many images are seen at a glance. */
const FEW = 6

/** Shows the stock images under their media groups, as cards, one of which can be selected. */
export function StockPicker({ selected, chosen, onSelect, locationName }: StockPickerProps) {
  const [q, setQ] = useState('')
  const refetchInterval = usePollInterval()
  const groups = useQuery(mediaGroupsQuery)
  const images = useInfiniteQuery({
    ...imagesQuery({ scope: 'stock', status: 'available', sort: 'name', ...(q ? { q } : {}) }),
    refetchInterval,
    // No event says that an admin has changed what is offered.
    refetchOnMount: 'always',
    placeholderData: (previous) => previous,
  })
  if (images.isPending || groups.isPending) return <Skeleton label="Loading images" />
  if (images.isError && !images.data) return <ProblemNotice problem={asProblem(images.error)} />
  const found = images.data.pages.flatMap((page) => page.items)
  const isListed = chosen === undefined || found.some(({ id }) => id === chosen.id)
  const items = isListed ? found : [chosen, ...found]
  if (items.length === 0 && q === '') {
    return (
      <EmptyState icon={<Layers />} title="No images available">
        The provider offers no stock images yet.
      </EmptyState>
    )
  }
  const sections = sectionsOf(items, groups.data ?? [])
  const selectedEntry = sections
    .flatMap(({ entries }) => entries)
    .find(({ versions }) => versions.some(({ id }) => id === selected))
  return (
    <>
      {groups.isError && <ProblemNotice problem={asProblem(groups.error)} />}
      {(q !== '' || images.hasNextPage || found.length > FEW) && (
        <DebouncedSearchBox label="Search Stock images" value={q} onChange={setQ} />
      )}
      {found.length === 0 && <MutedText>No image matches these words.</MutedText>}
      <RadioGroup
        aria-label="Stock images"
        className={styles.sections}
        value={selected ?? null}
        onChange={(id) => {
          const image = items.find((item) => item.id === id)
          if (image) onSelect(image)
        }}
      >
        {sections.map((section) => (
          <Section
            key={section.key}
            section={section}
            isOnly={sections.length === 1}
            selected={selected}
            locationName={locationName}
          />
        ))}
      </RadioGroup>
      {images.hasNextPage && (
        <Button variant="quiet" busy={images.isFetchingNextPage} onPress={() => void images.fetchNextPage()}>
          Show more
        </Button>
      )}
      {selectedEntry && selectedEntry.versions.length > 1 && (
        <SelectField
          label="Version"
          choices={selectedEntry.versions.map((image) => ({ id: image.id, label: versionLabel(image) }))}
          value={selected ?? selectedEntry.first.id}
          onChange={(id) => {
            const image = items.find((item) => item.id === id)
            if (image) onSelect(image)
          }}
        />
      )}
      <DeprecationNotice
        image={items.find(({ id }) => id === selected)}
        replacementIn={items}
        onSelect={onSelect}
      />
    </>
  )
}

interface SectionProps {
  section: StockSection
  isOnly: boolean
  selected: string | undefined
  locationName: (id: string) => string
}

function Section({ section, isOnly, selected, locationName }: SectionProps) {
  const label = section.label ?? (isOnly ? null : 'Other images')
  return (
    <div className={styles.section}>
      {label && <h3 className={styles.heading}>{label}</h3>}
      {section.description && <MutedText>{section.description}</MutedText>}
      <div className={styles.group}>
        {section.entries.map((entry) => (
          <EntryCard key={entry.key} entry={entry} selected={selected} locationName={locationName} />
        ))}
      </div>
    </div>
  )
}

interface EntryCardProps {
  entry: StockEntry
  selected: string | undefined
  locationName: (id: string) => string
}

/** The card of an image, or of a family: it stands for the version that is selected, or the latest. */
function EntryCard({ entry, selected, locationName }: EntryCardProps) {
  const image = entry.versions.find(({ id }) => id === selected) ?? entry.first
  const version = image.catalogue?.family_version
  return (
    <Radio value={image.id} className={styles.card}>
      <span className={styles.name}>
        <ClampedText text={image.name} />
      </span>
      {image.description && <span className={styles.text}>{image.description}</span>}
      <span className={styles.meta}>
        {version && <>Version {version}, </>}
        {formatBytes(image.virtual_size_bytes)} disk, {locationName(image.location_id)}
      </span>
      {image.catalogue?.deprecation && <Status tone="warn">Deprecated</Status>}
    </Radio>
  )
}

interface DeprecationNoticeProps {
  image: Image | undefined
  replacementIn: readonly Image[]
  onSelect: (image: Image) => void
}

/** Says why the selected image should not be used, and offers the one to use instead. */
function DeprecationNotice({ image, replacementIn, onSelect }: DeprecationNoticeProps) {
  const deprecation = image?.catalogue?.deprecation
  if (!image || !deprecation) return null
  const replacement = replacementIn.find(({ id }) => id === deprecation.replacement_id)
  return (
    <Notice
      tone="warn"
      title={`${image.name} is deprecated`}
      actions={replacement && <Button onPress={() => onSelect(replacement)}>Use {replacement.name}</Button>}
    >
      <p>{deprecation.notice}</p>
    </Notice>
  )
}
