import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { useLocationName } from '@/api/queries/catalogue'
import { imageQuery } from '@/api/queries/images'
import type { Image } from '@/api/types'
import { scopeOf } from '@/features/images/actions'
import { ImageNotices } from '@/features/images/ImageInside'
import { ImagePicker } from '@/features/instances/ImagePicker'
import { StockPicker } from '@/features/instances/StockPicker'
import { IMAGE_TABS } from '@/lib/search'
import { Stack } from '@/ui/Page'
import { Tabs } from '@/ui/Tabs'

type Scope = ReturnType<typeof scopeOf>

const TAB_OF = { own: 'mine', stock: 'stock', shared: 'shared' } as const satisfies Record<Scope, string>

/** What the address says of the images to choose from. */
export interface ImageSearch {
  image?: string
  tab?: (typeof IMAGE_TABS)[number]
}

export interface ImageChoice {
  /** The chosen image, if it is available. */
  image: Image | undefined
  /** The tabs with the images. */
  picker: ReactNode
}

/** Lets an image be chosen that a disk is written from; the choice is in the address of the page. */
export function useImageChoice(search: ImageSearch, onSearch: (search: ImageSearch) => void): ImageChoice {
  const locationName = useLocationName()
  const found = useQuery({ ...imageQuery(search.image ?? ''), enabled: search.image !== undefined })
  const image = found.data?.status === 'available' ? found.data : undefined
  const own = found.data && scopeOf(found.data)
  const tab = search.tab ?? (own ? TAB_OF[own] : 'stock')

  const select = (imageId: string | undefined, nextTab: string) =>
    onSearch({
      tab: IMAGE_TABS.find((known) => known === nextTab) ?? 'stock',
      ...(imageId ? { image: imageId } : {}),
    })
  const list = (scope: Exclude<Scope, 'stock'>, name: string, empty: ReactNode) => (
    <ImagePicker
      scope={scope}
      label={name}
      selected={search.image}
      chosen={own === scope ? image : undefined}
      onSelect={({ id }) => select(id, tab)}
      locationName={locationName}
      empty={empty}
    />
  )
  const picker = (
    <Stack tight>
      <Tabs
        label="Images"
        selected={tab}
        onSelect={(id) => select(search.image, id)}
        tabs={[
          {
            id: 'stock',
            label: 'Stock images',
            content: (
              <StockPicker
                selected={search.image}
                chosen={own === 'stock' ? image : undefined}
                onSelect={({ id }) => select(id, tab)}
                locationName={locationName}
              />
            ),
          },
          {
            id: 'mine',
            label: 'My Images',
            content: list('own', 'My Images', 'To create one, open an instance and press Image.'),
          },
          {
            id: 'shared',
            label: 'Shared with me',
            content: list(
              'shared',
              'Shared with me',
              'Images that other accounts offer are in My Images, under Shared with me.',
            ),
          },
        ]}
      />
      {image && <ImageNotices image={image} />}
    </Stack>
  )
  return { image, picker }
}
