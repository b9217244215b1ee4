import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router'
import { instanceQuery } from '@/api/queries/instances'
import type { Instance } from '@/api/types'
import { ReinstallForm } from '@/features/instances/ReinstallForm'
import { asProblem } from '@/lib/problem'
import { PageHeader, Skeleton, Stack } from '@/ui/Page'
import { useImageChoice } from './ImageTabs'
import { MissingPage } from './NotFoundPage'
import { ProblemPage } from './ProblemPage'
import { useTitle } from './use-title'

export function ReinstallPage() {
  const { id } = useParams({ from: '/shell/instances/$id/reinstall' })
  const { data: instance, error, isPending, refetch } = useQuery(instanceQuery(id))
  useTitle(instance ? `Reinstall ${instance.name}` : 'Reinstall')
  if (isPending) return <Skeleton label="Loading the instance" />
  if (!instance) {
    const problem = asProblem(error)
    const back = <Link to="/instances">Instances</Link>
    return problem.status === 404 || problem.status === 400 ? (
      <MissingPage what="Instance" back={back} />
    ) : (
      <ProblemPage title="Reinstall" back={back} problem={problem} onRetry={() => void refetch()} />
    )
  }
  return <ReinstallView instance={instance} />
}

function ReinstallView({ instance }: { instance: Instance }) {
  const { id } = instance
  const navigate = useNavigate()
  const { image, picker } = useImageChoice(
    useSearch({ from: '/shell/instances/$id/reinstall' }),
    (search) => void navigate({ to: '/instances/$id/reinstall', params: { id }, search, replace: true }),
  )
  const leave = () => void navigate({ to: '/instances/$id', params: { id } })
  return (
    <Stack>
      <PageHeader
        back={
          <Link to="/instances/$id" params={{ id }}>
            {instance.name}
          </Link>
        }
        title={`Reinstall ${instance.name}`}
      />
      <ReinstallForm instance={instance} image={image} picker={picker} onDone={leave} onCancel={leave} />
    </Stack>
  )
}
