import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { locationsQuery } from '@/api/queries/catalogue'
import { mediaGroupsQuery } from '@/api/queries/media-groups'
import { storagesQuery } from '@/api/queries/storages'
import { AddStockImageForm } from '@/features/catalogue/AddStockImageForm'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { PageHeader, Skeleton, Stack } from '@/ui/Page'
import { useTitle } from './use-title'

export function AddStockImagePage() {
  useTitle('Add Stock Image')
  const navigate = useNavigate()
  const storages = useQuery(storagesQuery({ role: 'stock' }))
  const locations = useQuery(locationsQuery)
  const groups = useQuery(mediaGroupsQuery)
  const failed = [storages, locations, groups].find(({ isError, data }) => isError && !data)
  return (
    <Stack>
      <PageHeader back={<Link to="/stock-images">Stock Images</Link>} title="Add Stock Image">
        The file stays where it is; a task reads its size and digest.
      </PageHeader>
      {failed && (
        <ProblemNotice
          problem={asProblem(failed.error)}
          actions={<Button onPress={() => void failed.refetch()}>Try again</Button>}
        />
      )}
      {!failed && !(storages.data && locations.data && groups.data) && <Skeleton label="Loading the form" />}
      {storages.data?.length === 0 && (
        <Notice tone="warn" title="There is no storage for stock images">
          <p>Add an image storage of the use "Stock images" first, and bind it to a hypervisor.</p>
        </Notice>
      )}
      {storages.data && storages.data.length > 0 && locations.data && groups.data && (
        <AddStockImageForm
          storages={storages.data}
          locations={locations.data}
          groups={groups.data}
          onAdded={() => void navigate({ to: '/stock-images' })}
          onCancel={() => void navigate({ to: '/stock-images' })}
        />
      )}
    </Stack>
  )
}
