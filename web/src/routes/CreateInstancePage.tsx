import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { useHypervisors, useLocationName } from '@/api/queries/catalogue'
import { imageQuery } from '@/api/queries/images'
import { scopeOf } from '@/features/images/actions'
import { CreateInstanceForm } from '@/features/instances/CreateInstanceForm'
import { ImagePicker } from '@/features/instances/ImagePicker'
import { IMAGE_TABS } from '@/lib/search'
import { PageHeader, Stack } from '@/ui/Page'
import { Tabs } from '@/ui/Tabs'
import { useTitle } from './use-title'

type Scope = ReturnType<typeof scopeOf>

const TAB_OF = { own: 'mine', stock: 'stock', shared: 'shared' } as const satisfies Record<Scope, string>

export function CreateInstancePage() {
  useTitle('Create instance')
  const search = useSearch({ from: '/shell/instances/new' })
  const navigate = useNavigate()
  const locationName = useLocationName()
  const hypervisors = useHypervisors()
  const image = useQuery({ ...imageQuery(search.image ?? ''), enabled: search.image !== undefined })
  const selected = image.data?.status === 'available' ? image.data : undefined
  const own = image.data && scopeOf(image.data)
  const tab = search.tab ?? (own ? TAB_OF[own] : 'stock')

  const select = (imageId: string | undefined, nextTab: string) =>
    void navigate({
      to: '/instances/new',
      search: {
        tab: IMAGE_TABS.find((known) => known === nextTab) ?? 'stock',
        ...(imageId ? { image: imageId } : {}),
      },
      replace: true,
    })
  const picker = (scope: Scope, name: string, empty: ReactNode) => (
    <ImagePicker
      scope={scope}
      label={name}
      selected={search.image}
      chosen={own === scope ? selected : undefined}
      onSelect={({ id }) => select(id, tab)}
      locationName={locationName}
      empty={empty}
    />
  )

  return (
    <Stack>
      <PageHeader back={<Link to="/instances">Instances</Link>} title="Create instance" />
      <CreateInstanceForm
        image={selected}
        picker={
          <Tabs
            label="Images"
            selected={tab}
            onSelect={(id) => select(search.image, id)}
            tabs={[
              {
                id: 'stock',
                label: 'Stock images',
                content: picker('stock', 'Stock images', 'The provider offers no stock images yet.'),
              },
              {
                id: 'mine',
                label: 'My Images',
                content: picker('own', 'My Images', 'To create one, open an instance and press Image.'),
              },
              {
                id: 'shared',
                label: 'Shared with me',
                content: picker(
                  'shared',
                  'Shared with me',
                  'Images that other accounts offer are in My Images, under Shared with me.',
                ),
              },
            ]}
          />
        }
        hypervisors={
          hypervisors.data?.filter(
            ({ online, location_id }) => online && location_id === selected?.location_id,
          ) ?? []
        }
        onCreated={(id) => void navigate({ to: '/instances/$id', params: { id } })}
        onCancel={() => void navigate({ to: '/instances' })}
      />
    </Stack>
  )
}
