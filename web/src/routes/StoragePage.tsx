import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams } from '@tanstack/react-router'
import { Pencil } from 'lucide-react'
import { storageQuery } from '@/api/queries/storages'
import type { ImageStorage } from '@/api/types'
import { storageActions } from '@/features/storages/actions'
import { imageCount, STATES } from '@/features/storages/labels'
import { StorageFacts } from '@/features/storages/StorageFacts'
import { HealthBadge } from '@/features/storages/StorageTable'
import { asProblem, toSentence } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { RowMenu } from '@/ui/Menu'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { PageHeader, Skeleton, Stack } from '@/ui/Page'
import { MissingPage } from './NotFoundPage'
import { ProblemPage } from './ProblemPage'
import { useStorageCommands } from './use-storage-commands'
import { useTitle } from './use-title'

export function StoragePage() {
  const { id } = useParams({ from: '/shell/admin/image-storages/$id' })
  const { data: storage, error, isPending, refetch } = useQuery(storageQuery(id))
  useTitle(storage?.name ?? 'Image storage')
  if (isPending) return <Skeleton label="Loading the image storage" />
  if (!storage) {
    const problem = asProblem(error)
    const back = <Link to="/image-storages">Image Storages</Link>
    return problem.status === 404 || problem.status === 400 ? (
      <MissingPage what="Image storage" back={back} />
    ) : (
      <ProblemPage title="Image storage" back={back} problem={problem} onRetry={() => void refetch()} />
    )
  }
  return <StorageView storage={storage} />
}

function StorageView({ storage }: { storage: ImageStorage }) {
  const navigate = useNavigate()
  const { commands, dialog, problem, hypervisorName, hasSecrets, storageName } = useStorageCommands(
    () => void navigate({ to: '/image-storages' }),
  )
  const left = imageCount(storage)
  return (
    <Stack>
      <PageHeader
        back={<Link to="/image-storages">Image Storages</Link>}
        title={storage.name}
        status={<HealthBadge storage={storage} />}
        actions={
          <>
            <Button icon={<Pencil />} onPress={() => commands.edit(storage)}>
              Edit
            </Button>
            <RowMenu
              label="More actions"
              actions={storageActions(storage, commands).filter(({ id }) => id !== 'edit')}
            />
          </>
        }
      >
        {STATES[storage.state].detail}.
      </PageHeader>
      {problem && <ProblemNotice problem={problem} />}
      {storage.problem && (
        <Notice tone="warn" title="It needs attention">
          <p>{toSentence(storage.problem)}</p>
        </Notice>
      )}
      {storage.state === 'draining' && (
        <Notice title={left === 0 ? 'It is empty' : `${left} images are still on it`}>
          <p>
            {left === 0
              ? 'It can be deleted now.'
              : 'They move in the background. Their tasks are on the page Tasks.'}
          </p>
        </Notice>
      )}
      <StorageFacts
        storage={storage}
        commands={commands}
        hypervisorName={hypervisorName}
        hasSecrets={hasSecrets(storage)}
        storageName={storageName}
      />
      {dialog}
    </Stack>
  )
}
