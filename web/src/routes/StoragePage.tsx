import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams } from '@tanstack/react-router'
import { FolderSearch, Pencil } from 'lucide-react'
import { scansQuery } from '@/api/queries/storage-objects'
import type { ImageStorage } from '@/api/types'
import { storageActions } from '@/features/storages/actions'
import { FindingsBadge } from '@/features/storages/ClassBadge'
import { imageCount, STATES } from '@/features/storages/labels'
import { faultCount, faultText, lastComplete } from '@/features/storages/objects'
import { StorageFacts } from '@/features/storages/StorageFacts'
import { HealthBadge } from '@/features/storages/StorageTable'
import { toSentence } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { RowMenu } from '@/ui/Menu'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { PageHeader, Stack } from '@/ui/Page'
import { useStorageCommands } from './use-storage-commands'
import { useStoragePage } from './use-storage-page'
import { useTitle } from './use-title'

export function StoragePage() {
  const { id } = useParams({ from: '/shell/admin/image-storages/$id' })
  const { storage, instead } = useStoragePage(id)
  useTitle(storage?.name ?? 'Image storage')
  if (!storage) return instead
  return <StorageView storage={storage} />
}

function StorageView({ storage }: { storage: ImageStorage }) {
  const navigate = useNavigate()
  const { commands, dialog, problem, hypervisorName, hasSecrets, storageName } = useStorageCommands(
    () => void navigate({ to: '/image-storages' }),
  )
  const { data: scans } = useQuery(scansQuery(storage.id))
  const scan = lastComplete(scans)
  const left = imageCount(storage)
  return (
    <Stack>
      <PageHeader
        back={<Link to="/image-storages">Image Storages</Link>}
        title={storage.name}
        status={
          <>
            <HealthBadge storage={storage} />
            {scan && <FindingsBadge scan={scan} />}
          </>
        }
        actions={
          <>
            <Button icon={<FolderSearch />} onPress={() => commands.browse(storage)}>
              Browse
            </Button>
            <Button icon={<Pencil />} onPress={() => commands.edit(storage)}>
              Edit
            </Button>
            <RowMenu
              label="More actions"
              actions={storageActions(storage, commands).filter(({ id }) => id !== 'edit' && id !== 'browse')}
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
      {scan && faultCount(scan) > 0 && (
        <Notice tone="warn" title="The last scan found faults">
          <p>
            {faultText(scan)}.{' '}
            <Link to="/image-storages/$id/objects" params={{ id: storage.id }} search={{ class: 'faults' }}>
              Browse the faults
            </Link>
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
