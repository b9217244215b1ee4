import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams } from '@tanstack/react-router'
import { CircleCheck, FolderSearch } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import { scansQuery, useScanStorage } from '@/api/queries/storage-objects'
import type { ImageStorage, StorageScan } from '@/api/types'
import { ApplyPlanDialog } from '@/features/storages/ApplyPlanDialog'
import { foundBy, lastComplete } from '@/features/storages/objects'
import { ReconcileChoices } from '@/features/storages/ReconcileChoices'
import { ReconcileEntries, Refusals } from '@/features/storages/ReconcileReport'
import { changesOf } from '@/features/storages/reconcile'
import { TaskCards } from '@/features/tasks/TaskCards'
import { asProblem } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { Button } from '@/ui/Button'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { ButtonRow, Card, EmptyState, MutedText, PageHeader, Skeleton, Stack } from '@/ui/Page'
import { type Reconciliation, useReconciliation } from './use-reconciliation'
import { useStoragePage } from './use-storage-page'
import { useTitle } from './use-title'

/** Reconcile: sets right what the last scan found, first as a plan, then for real. */
export function ReconcilePage() {
  const { id } = useParams({ from: '/shell/admin/image-storages/$id/reconcile' })
  const { storage, instead } = useStoragePage(id)
  useTitle(storage ? `Reconcile ${storage.name}` : 'Image storage')
  return storage ? <ReconcileView storage={storage} /> : instead
}

function ReconcileView({ storage }: { storage: ImageStorage }) {
  const scans = useQuery(scansQuery(storage.id))
  const scan = lastComplete(scans.data)
  const params = { id: storage.id }
  return (
    <Stack>
      <PageHeader
        back={
          <Link to="/image-storages/$id/objects" params={params}>
            Browse {storage.name}
          </Link>
        }
        title={`Reconcile ${storage.name}`}
      >
        {scan
          ? `Sets right what the scan of ${formatInstant(scan.finished_at ?? scan.started_at)} found: first as a plan, which changes nothing.`
          : 'Sets right what a scan has found.'}
      </PageHeader>
      {scans.isPending && <Skeleton label="Loading the scans" />}
      {scans.isError && !scans.data && (
        <ProblemNotice
          problem={asProblem(scans.error)}
          actions={<Button onPress={() => void scans.refetch()}>Try again</Button>}
        />
      )}
      {scans.data && !scan && (
        <Nothing storage={storage} icon={<FolderSearch />} title="Not scanned yet">
          Scan the storage first: a plan is made of what the scan found.
        </Nothing>
      )}
      {scan && <Scanned storage={storage} scan={scan} />}
    </Stack>
  )
}

function Nothing(props: { storage: ImageStorage; icon: ReactNode; title: string; children: string }) {
  const navigate = useNavigate()
  const params = { id: props.storage.id }
  return (
    <EmptyState
      icon={props.icon}
      title={props.title}
      actions={
        <Button onPress={() => void navigate({ to: '/image-storages/$id/objects', params })}>Browse</Button>
      }
    >
      {props.children}
    </EmptyState>
  )
}

function Scanned({ storage, scan }: { storage: ImageStorage; scan: StorageScan }) {
  const reconciliation = useReconciliation(storage.id, scan)
  const { choices, plan, report, busy, problem } = reconciliation
  const [isAsking, setAsking] = useState(false)
  const found = foundBy(scan).filter(({ actions }) => actions.length > 0)
  const nothingChosen = changesOf(found, choices)?.length === 0
  if (found.length === 0 && !report) {
    return (
      <Nothing storage={storage} icon={<CircleCheck />} title="Nothing has to be set right">
        The last scan found everything as it has to be.
      </Nothing>
    )
  }
  return (
    <>
      {!report && (
        <>
          <ReconcileChoices found={found} choices={choices} onChoose={reconciliation.choose} />
          <ButtonRow>
            <Button
              variant={plan ? 'plain' : 'primary'}
              busy={busy && !isAsking}
              reason={nothingChosen ? 'Choose what to do about a class first.' : null}
              onPress={() => void reconciliation.makePlan()}
            >
              {plan ? 'Make the plan again' : 'Make a plan'}
            </Button>
            <MutedText>A plan changes nothing.</MutedText>
          </ButtonRow>
        </>
      )}
      {report && <Done storage={storage} reconciliation={reconciliation} />}
      {problem && !isAsking && <ProblemNotice problem={problem} />}
      {reconciliation.isRemade && (
        <Notice tone="warn" title="There was a later scan">
          <p>
            {plan
              ? 'Nothing was changed. The plan was made again of what that scan found: look at it once more.'
              : 'Nothing was changed. That scan found nothing of what was chosen.'}
          </p>
        </Notice>
      )}
      {plan && (
        <Card title={report ? 'Plan for the rest' : 'Plan'}>
          {plan.entries.length > 0 ? (
            <ReconcileEntries label="Plan" report={plan} />
          ) : (
            <MutedText>There is nothing to do.</MutedText>
          )}
          <Refusals report={plan} />
          {plan.more && (
            <MutedText>
              There are more objects than one request changes: the rest follows afterwards.
            </MutedText>
          )}
          <ButtonRow>
            <Button
              variant="primary"
              reason={plan.entries.length > 0 ? null : 'There is nothing to do.'}
              onPress={() => setAsking(true)}
            >
              Apply
            </Button>
          </ButtonRow>
        </Card>
      )}
      {plan && isAsking && (
        <ApplyPlanDialog
          storage={storage}
          plan={plan}
          busy={busy}
          problem={problem}
          onClose={() => setAsking(false)}
          onConfirm={() =>
            void reconciliation.apply().then((outcome) => {
              if (outcome !== 'refused') setAsking(false)
            })
          }
        />
      )}
    </>
  )
}

/** What was done, with its tasks, and how to go on. */
function Done({ storage, reconciliation }: { storage: ImageStorage; reconciliation: Reconciliation }) {
  const navigate = useNavigate()
  const scanAgain = useScanStorage(storage.id)
  const { report, plan, busy } = reconciliation
  const params = { id: storage.id }
  const browse = () => void navigate({ to: '/image-storages/$id/objects', params })
  if (!report) return null
  return (
    <>
      <Card title="Done">
        {report.entries.length > 0 ? (
          <ReconcileEntries label="Done" report={report} />
        ) : (
          <MutedText>Nothing was changed.</MutedText>
        )}
        <Refusals report={report} />
        {report.more && !plan && (
          <Notice
            title="There is more to do"
            actions={
              <Button busy={busy} onPress={() => void reconciliation.makePlan()}>
                Continue
              </Button>
            }
          >
            <p>One request changes at most 2,000 objects. The rest is planned next.</p>
          </Notice>
        )}
        <ButtonRow>
          <Button
            busy={scanAgain.isPending}
            onPress={() => scanAgain.mutate({ deep: false }, { onSuccess: browse })}
          >
            Scan again
          </Button>
          <Button variant="quiet" onPress={browse}>
            Browse
          </Button>
        </ButtonRow>
        {scanAgain.isError && <ProblemNotice problem={asProblem(scanAgain.error)} />}
      </Card>
      {report.task_ids.length > 0 && (
        <Stack tight>
          <h2>Tasks</h2>
          <TaskCards ids={report.task_ids} />
        </Stack>
      )}
    </>
  )
}
