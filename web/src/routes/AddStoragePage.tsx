import { Link, useNavigate } from '@tanstack/react-router'
import { useHypervisors } from '@/api/queries/catalogue'
import { useStorageKinds } from '@/api/queries/storages'
import { AddStorageForm } from '@/features/storages/AddStorageForm'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { PageHeader, Skeleton, Stack } from '@/ui/Page'
import { useTitle } from './use-title'

export function AddStoragePage() {
  useTitle('Add Image Storage')
  const navigate = useNavigate()
  const kinds = useStorageKinds()
  const { data: hypervisors = [] } = useHypervisors()
  return (
    <Stack>
      <PageHeader back={<Link to="/image-storages">Image Storages</Link>} title="Add Image Storage">
        Bind it to hypervisors afterwards.
      </PageHeader>
      {kinds.isPending && <Skeleton label="Loading the kinds of storages" />}
      {kinds.isError && (
        <ProblemNotice
          problem={asProblem(kinds.error)}
          actions={<Button onPress={() => void kinds.refetch()}>Try again</Button>}
        />
      )}
      {kinds.data?.length === 0 && (
        <Notice tone="warn" title="No hypervisor has a plugin for storages">
          <p>Start the agent of a hypervisor first. It reports the plugins that it has.</p>
        </Notice>
      )}
      {kinds.data && kinds.data.length > 0 && (
        <AddStorageForm
          kinds={kinds.data}
          hypervisors={hypervisors}
          onCreated={(storage) =>
            void navigate({ to: '/image-storages/$id', params: { id: storage.id }, replace: true })
          }
          onCancel={() => void navigate({ to: '/image-storages' })}
        />
      )}
    </Stack>
  )
}
