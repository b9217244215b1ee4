import { Link, useNavigate, useSearch } from '@tanstack/react-router'
import { ImportForm } from '@/features/imports/ImportForm'
import { importSearch } from '@/lib/search'
import { PageHeader, Stack } from '@/ui/Page'
import { Tabs } from '@/ui/Tabs'
import { useTitle } from './use-title'

export function ImportPage() {
  useTitle('Import image')
  const { from = 'file' } = useSearch({ from: '/shell/images/import' })
  const navigate = useNavigate()
  const leave = () => void navigate({ to: '/images' })
  return (
    <Stack>
      <PageHeader back={<Link to="/images">My Images</Link>} title="Import image">
        A disk from another cloud, a hypervisor or a download becomes an image. It is checked first, and
        nothing of it is stored as it came.
      </PageHeader>
      <Tabs
        label="Where the file is"
        selected={from}
        onSelect={(id) =>
          void navigate({ to: '/images/import', search: importSearch({ from: id }), replace: true })
        }
        tabs={[
          {
            id: 'file',
            label: 'On this computer',
            content: <ImportForm from="file" onImported={leave} onCancel={leave} />,
          },
          {
            id: 'url',
            label: 'On a server',
            content: <ImportForm from="url" onImported={leave} onCancel={leave} />,
          },
          {
            id: 'storage',
            label: 'In your object storage',
            content: <ImportForm from="storage" onImported={leave} onCancel={leave} />,
          },
          {
            id: 'imprint',
            label: 'At another provider',
            content: <ImportForm from="imprint" onImported={leave} onCancel={leave} />,
          },
        ]}
      />
    </Stack>
  )
}
