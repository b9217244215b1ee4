import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { useHypervisors } from '@/api/queries/catalogue'
import { CreateInstanceForm } from '@/features/instances/CreateInstanceForm'
import { PageHeader, Stack } from '@/ui/Page'
import { useImageChoice } from './ImageTabs'
import { useTitle } from './use-title'

export function CreateInstancePage() {
  useTitle('Create instance')
  const navigate = useNavigate()
  const hypervisors = useHypervisors()
  const { image, picker } = useImageChoice(
    useSearch({ from: '/shell/instances/new' }),
    (search) => void navigate({ to: '/instances/new', search, replace: true }),
  )
  return (
    <Stack>
      <PageHeader back={<Link to="/instances">Instances</Link>} title="Create instance" />
      <CreateInstanceForm
        image={image}
        picker={picker}
        hypervisors={
          hypervisors.data?.filter(
            ({ online, location_id }) => online && location_id === image?.location_id,
          ) ?? []
        }
        onCreated={(id) => void navigate({ to: '/instances/$id', params: { id } })}
        onCancel={() => void navigate({ to: '/instances' })}
      />
    </Stack>
  )
}
