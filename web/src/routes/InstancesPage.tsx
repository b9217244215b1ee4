import { useInfiniteQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Plus, Server } from 'lucide-react'
import { usePollInterval } from '@/api/live'
import { useLocationName } from '@/api/queries/catalogue'
import { instancesQuery } from '@/api/queries/instances'
import { InstanceTable } from '@/features/instances/InstanceTable'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, PageHeader, Stack } from '@/ui/Page'
import { TableSkeleton } from '@/ui/Table'
import { useInstanceCommands } from './use-instance-commands'
import { useTitle } from './use-title'

export function InstancesPage() {
  useTitle('Instances')
  const navigate = useNavigate()
  const refetchInterval = usePollInterval()
  const instances = useInfiniteQuery({ ...instancesQuery, refetchInterval })
  const locationName = useLocationName()
  const { commands, dialog, problem } = useInstanceCommands()
  const create = (
    <Button variant="primary" icon={<Plus />} onPress={() => void navigate({ to: '/instances/new' })}>
      Create instance
    </Button>
  )
  const items = instances.data?.pages.flatMap((page) => page.items)
  return (
    <Stack>
      <PageHeader title="Instances" actions={create}>
        To create an image of an instance, choose Image in its menu.
      </PageHeader>
      {problem && <ProblemNotice problem={problem} />}
      {instances.isPending && <TableSkeleton label="Loading instances" />}
      {instances.isError && !items && (
        <ProblemNotice
          problem={asProblem(instances.error)}
          actions={<Button onPress={() => void instances.refetch()}>Try again</Button>}
        />
      )}
      {items?.length === 0 && (
        <EmptyState icon={<Server />} title="No instances yet" actions={create}>
          Create one from a stock image or from one of your images.
        </EmptyState>
      )}
      {items && items.length > 0 && (
        <InstanceTable
          items={items}
          locationName={locationName}
          commands={commands}
          more={
            instances.hasNextPage
              ? { load: () => void instances.fetchNextPage(), busy: instances.isFetchingNextPage }
              : null
          }
        />
      )}
      {dialog}
    </Stack>
  )
}
