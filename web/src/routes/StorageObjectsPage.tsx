import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { FolderSearch, ScanSearch, Wrench } from 'lucide-react'
import { useState } from 'react'
import { useHypervisors } from '@/api/queries/catalogue'
import { scansQuery, useReloadObjects, useScanStorage } from '@/api/queries/storage-objects'
import type { ImageStorage, StorageScan } from '@/api/types'
import { FindingsBadge } from '@/features/storages/ClassBadge'
import { DeepScanDialog } from '@/features/storages/ObjectDialogs'
import { activeScan, foundBy, lastComplete } from '@/features/storages/objects'
import { ScanSummary } from '@/features/storages/ScanSummary'
import { ScanTable } from '@/features/storages/ScanTable'
import { TaskCards } from '@/features/tasks/TaskCards'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { Disclosure } from '@/ui/Disclosure'
import { ProblemNotice } from '@/ui/Notice'
import { ButtonRow, EmptyState, PageHeader, Skeleton, Stack } from '@/ui/Page'
import { StorageObjectList } from './StorageObjectList'
import { useObjectCommands } from './use-object-commands'
import { useStoragePage } from './use-storage-page'
import { useTitle } from './use-title'

/** Browse: what is really on an image storage, as the last scan found it. */
export function StorageObjectsPage() {
  const { id } = useParams({ from: '/shell/admin/image-storages/$id/objects' })
  const { storage, instead } = useStoragePage(id)
  useTitle(storage ? `Browse ${storage.name}` : 'Image storage')
  return storage ? <StorageObjectsView storage={storage} /> : instead
}

function StorageObjectsView({ storage }: { storage: ImageStorage }) {
  const [isAsking, setAsking] = useState(false)
  const scans = useQuery(scansQuery(storage.id))
  const start = useScanStorage(storage.id)
  const reload = useReloadObjects(storage.id)
  const active = activeScan(scans.data)
  const complete = lastComplete(scans.data)
  const problem = start.isError ? asProblem(start.error) : null
  const reason = active ? 'A scan is running.' : null
  const ask = () => {
    start.reset()
    setAsking(true)
  }
  const scanNow = (
    <Button
      variant="primary"
      icon={<ScanSearch />}
      busy={start.isPending}
      reason={reason}
      onPress={() => start.mutate({ deep: false })}
    >
      Scan now
    </Button>
  )
  return (
    <Stack>
      <PageHeader
        back={
          <Link to="/image-storages/$id" params={{ id: storage.id }}>
            {storage.name}
          </Link>
        }
        title={`Browse ${storage.name}`}
        status={complete && <FindingsBadge scan={complete} />}
        actions={
          <>
            <Button reason={reason} onPress={ask}>
              Deep scan
            </Button>
            {scanNow}
          </>
        }
      >
        What is really there, as the last scan found it.
      </PageHeader>
      {problem && !isAsking && <ProblemNotice problem={problem} />}
      {active && <TaskCards key={active.id} ids={[active.id]} onEnded={() => void scans.refetch()} />}
      {scans.isPending && <Skeleton label="Loading the scans" />}
      {scans.isError && !scans.data && (
        <ProblemNotice
          problem={asProblem(scans.error)}
          actions={<Button onPress={() => void scans.refetch()}>Try again</Button>}
        />
      )}
      {scans.data && !complete && <NotScanned scans={scans.data} />}
      {complete && <Scanned storage={storage} scan={complete} onReload={reload} />}
      {scans.data && scans.data.length > 1 && (
        <Disclosure title="Latest scans">
          <ScanTable scans={scans.data} />
        </Disclosure>
      )}
      {isAsking && (
        <DeepScanDialog
          storage={storage}
          busy={start.isPending}
          problem={problem}
          onClose={() => setAsking(false)}
          onConfirm={() => start.mutate({ deep: true }, { onSuccess: () => setAsking(false) })}
        />
      )}
    </Stack>
  )
}

/** The state before the first scan is complete, and after it failed. */
function NotScanned({ scans }: { scans: readonly StorageScan[] }) {
  const last = scans[0]
  if (last?.state === 'active') {
    return (
      <EmptyState icon={<FolderSearch />} title="The first scan is running">
        What it finds appears here when it is complete.
      </EmptyState>
    )
  }
  if (last) {
    return (
      <Stack tight>
        <TaskCards ids={[last.id]} />
        <EmptyState icon={<FolderSearch />} title="The scan was not completed">
          Its task says why. Scan the storage again when that is mended.
        </EmptyState>
      </Stack>
    )
  }
  return (
    <EmptyState icon={<FolderSearch />} title="Not scanned yet">
      A scan lists everything on the storage and compares it with the images: it finds files that nothing
      refers to, and images without their file. It changes nothing.
    </EmptyState>
  )
}

interface ScannedProps {
  storage: ImageStorage
  scan: StorageScan
  onReload: () => void
}

function Scanned({ storage, scan, onReload }: ScannedProps) {
  const navigate = useNavigate()
  const search = useSearch({ from: '/shell/admin/image-storages/$id/objects' })
  const { data: hypervisors = [] } = useHypervisors()
  const { commands, dialog, problem, taskIds } = useObjectCommands(storage, scan.id)
  const params = { id: storage.id }
  const isMendable = foundBy(scan).some(({ actions }) => actions.length > 0)
  return (
    <>
      <ScanSummary
        storageId={storage.id}
        scan={scan}
        hypervisorName={(id) => hypervisors.find((hypervisor) => hypervisor.id === id)?.name ?? id}
        actions={
          <ButtonRow>
            <Button
              icon={<Wrench />}
              reason={isMendable ? null : 'Nothing has to be set right.'}
              onPress={() => void navigate({ to: '/image-storages/$id/reconcile', params })}
            >
              Reconcile
            </Button>
          </ButtonRow>
        }
      />
      {problem && <ProblemNotice problem={problem} />}
      {taskIds.length > 0 && <TaskCards ids={taskIds} onEnded={onReload} />}
      <StorageObjectList storageId={storage.id} scan={scan} search={search} commands={commands} />
      {dialog}
    </>
  )
}
