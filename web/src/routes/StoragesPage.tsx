import { useQuery } from '@tanstack/react-query'
import { useNavigate, useSearch } from '@tanstack/react-router'
import { HardDrive, Plus } from 'lucide-react'
import { storagesQuery } from '@/api/queries/storages'
import { roleChoices, stateChoices } from '@/features/storages/labels'
import { StorageTable } from '@/features/storages/StorageTable'
import { asProblem } from '@/lib/problem'
import { storagesSearch } from '@/lib/search'
import { Button } from '@/ui/Button'
import { FilterBar, SearchBox, SelectBox } from '@/ui/Filter'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, PageHeader, Stack } from '@/ui/Page'
import { TableSkeleton } from '@/ui/Table'
import { useFindings } from './use-findings'
import { useStorageCommands } from './use-storage-commands'
import { useTitle } from './use-title'

export function StoragesPage() {
  useTitle('Image Storages')
  const search = useSearch({ from: '/shell/admin/image-storages' })
  const navigate = useNavigate()
  const { q, ...filter } = search
  const storages = useQuery({ ...storagesQuery(filter), placeholderData: (previous) => previous })
  const { commands, dialog, problem, hypervisorName } = useStorageCommands()
  const change = (patch: Record<string, string | undefined>) =>
    void navigate({ to: '/image-storages', search: storagesSearch({ ...search, ...patch }), replace: true })
  const add = () => void navigate({ to: '/image-storages/new' })
  const query = q?.toLowerCase() ?? ''
  const findings = useFindings(storages.data)
  const items = storages.data?.filter((storage) => storage.name.toLowerCase().includes(query))
  const isFiltered = query !== '' || filter.role !== undefined || filter.state !== undefined
  return (
    <Stack>
      <PageHeader
        title="Image Storages"
        actions={
          <Button variant="primary" icon={<Plus />} onPress={add}>
            Add Image Storage
          </Button>
        }
      >
        Where the files of images are. A hypervisor uses the storages that are bound to it.
      </PageHeader>
      {(isFiltered || (storages.data && storages.data.length > 0)) && (
        <FilterBar>
          <SearchBox label="Search image storages" value={q ?? ''} onChange={(next) => change({ q: next })} />
          <SelectBox
            label="Use"
            any="Any use"
            choices={roleChoices}
            value={filter.role}
            onChange={(role) => change({ role })}
          />
          <SelectBox
            label="State"
            any="Any state"
            choices={stateChoices}
            value={filter.state}
            onChange={(state) => change({ state })}
          />
        </FilterBar>
      )}
      {problem && <ProblemNotice problem={problem} />}
      {storages.isPending && <TableSkeleton label="Loading image storages" />}
      {storages.isError && !items && (
        <ProblemNotice
          problem={asProblem(storages.error)}
          actions={<Button onPress={() => void storages.refetch()}>Try again</Button>}
        />
      )}
      {items?.length === 0 && (
        <EmptyState
          icon={<HardDrive />}
          title={isFiltered ? 'No matching image storages' : 'No image storages yet'}
          actions={
            isFiltered ? (
              <Button onPress={() => void navigate({ to: '/image-storages', search: {} })}>
                Show all image storages
              </Button>
            ) : (
              <Button onPress={add}>Add Image Storage</Button>
            )
          }
        >
          {isFiltered
            ? 'Try another name, use or state.'
            : 'Add one and bind it to a hypervisor: then customers can create images there.'}
        </EmptyState>
      )}
      {items && items.length > 0 && (
        <StorageTable items={items} commands={commands} findings={findings} hypervisorName={hypervisorName} />
      )}
      {dialog}
    </Stack>
  )
}
