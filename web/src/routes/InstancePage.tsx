import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams } from '@tanstack/react-router'
import { Camera, Play, Power } from 'lucide-react'
import { usePollInterval } from '@/api/live'
import { useHypervisors, useLocationName } from '@/api/queries/catalogue'
import { instanceQuery } from '@/api/queries/instances'
import { useAccount } from '@/api/queries/session'
import type { Instance } from '@/api/types'
import {
  adminActions,
  captureReason,
  type InstanceCommands,
  instanceActions,
  startReason,
} from '@/features/instances/actions'
import { InstanceFacts } from '@/features/instances/InstanceFacts'
import { busyReason, powerOf } from '@/features/instances/labels'
import { InstanceDevices } from '@/features/isos/InstanceDevices'
import { TaskList } from '@/features/tasks/TaskList'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { MutedText, PageHeader, Skeleton, Stack } from '@/ui/Page'
import { Status } from '@/ui/Status'
import { MissingPage } from './NotFoundPage'
import { ProblemPage } from './ProblemPage'
import { useInstanceCommands } from './use-instance-commands'
import { useTitle } from './use-title'

export function InstancePage() {
  const { id } = useParams({ from: '/shell/instances/$id' })
  const refetchInterval = usePollInterval()
  const { data: instance, error, isPending, refetch } = useQuery({ ...instanceQuery(id), refetchInterval })
  useTitle(instance?.name ?? 'Instance')
  if (isPending) return <Skeleton label="Loading the instance" />
  if (!instance) {
    const problem = asProblem(error)
    const back = <Link to="/instances">Instances</Link>
    return problem.status === 404 || problem.status === 400 ? (
      <MissingPage what="Instance" back={back} />
    ) : (
      <ProblemPage title="Instance" back={back} problem={problem} onRetry={() => void refetch()} />
    )
  }
  return <InstanceView instance={instance} />
}

function InstanceView({ instance }: { instance: Instance }) {
  const locationName = useLocationName()
  const hypervisors = useHypervisors()
  const hypervisor = hypervisors.data?.find(({ id }) => id === instance.hypervisor_id)
  const navigate = useNavigate()
  const { commands, dialog, problem } = useInstanceCommands(() => void navigate({ to: '/instances' }))
  const power = powerOf(instance)
  return (
    <Stack>
      <PageHeader
        back={<Link to="/instances">Instances</Link>}
        title={instance.name}
        status={<Status tone={power.tone}>{power.name}</Status>}
        actions={<HeaderActions instance={instance} commands={commands} />}
      />
      {problem && <ProblemNotice problem={problem} />}
      <InstanceFacts
        instance={instance}
        location={locationName(instance.location_id)}
        hypervisor={
          hypervisor ? `${hypervisor.name}${hypervisor.online ? '' : ', offline'}` : instance.hypervisor_id
        }
      />
      <InstanceDevices instance={instance} />
      <section aria-labelledby="instance-tasks">
        <Stack tight>
          <h2 id="instance-tasks">Tasks</h2>
          <TaskList
            filter={{ instance_id: instance.id }}
            empty={<MutedText>This instance has no tasks yet.</MutedText>}
          />
        </Stack>
      </section>
      {dialog}
    </Stack>
  )
}

function HeaderActions({ instance, commands }: { instance: Instance; commands: InstanceCommands }) {
  const isOn = instance.power === 'running' || instance.power === 'paused'
  const isAdmin = useAccount().data?.role === 'admin'
  return (
    <>
      <Button
        variant="primary"
        icon={<Camera />}
        reason={captureReason(instance)}
        onPress={() => commands.capture(instance)}
      >
        Image
      </Button>
      {isOn ? (
        <Button icon={<Power />} reason={busyReason(instance)} onPress={() => commands.stop(instance)}>
          Stop
        </Button>
      ) : (
        <Button icon={<Play />} reason={startReason(instance)} onPress={() => commands.start(instance)}>
          Start
        </Button>
      )}
      <RowMenu
        label="More actions"
        actions={[
          ...(isAdmin ? adminActions(instance, commands) : []),
          ...instanceActions(instance, commands)
            .filter(({ id }) => id === 'reinstall' || id === 'delete')
            .map((action) => ({ ...action, separated: isAdmin || action.id === 'delete' })),
        ]}
      />
    </>
  )
}
