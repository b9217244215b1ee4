import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { useHypervisors, useLocationName } from '@/api/queries/catalogue'
import { imageQuery } from '@/api/queries/images'
import { CreateInstanceForm } from '@/features/instances/CreateInstanceForm'
import { ImagePicker } from '@/features/instances/ImagePicker'
import { IMAGE_TABS } from '@/lib/search'
import { PageHeader, Stack } from '@/ui/Page'
import { Tabs } from '@/ui/Tabs'
import { useTitle } from './use-title'

export function CreateInstancePage() {
  useTitle('Create instance')
  const search = useSearch({ from: '/shell/instances/new' })
  const navigate = useNavigate()
  const locationName = useLocationName()
  const hypervisors = useHypervisors()
  const image = useQuery({ ...imageQuery(search.image ?? ''), enabled: search.image !== undefined })
  const selected = image.data?.status === 'available' ? image.data : undefined
  const isMine = image.data?.kind === 'custom'
  const tab = search.tab ?? (isMine ? 'mine' : 'stock')

  const select = (imageId: string | undefined, nextTab: string) =>
    void navigate({
      to: '/instances/new',
      search: {
        tab: IMAGE_TABS.find((known) => known === nextTab) ?? 'stock',
        ...(imageId ? { image: imageId } : {}),
      },
      replace: true,
    })
  const picker = (scope: 'own' | 'stock', name: string, empty: ReactNode) => (
    <ImagePicker
      scope={scope}
      label={name}
      selected={search.image}
      chosen={isMine === (scope === 'own') ? selected : undefined}
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
