import { useQuery } from '@tanstack/react-query'
import { FileCode, Pencil, Plus, Trash2 } from 'lucide-react'
import { useMemo, useState } from 'react'
import { userScriptsQuery } from '@/api/queries/saved'
import type { UserScript } from '@/api/types'
import {
  AddUserScriptDialog,
  DeleteUserScriptDialog,
  EditUserScriptDialog,
} from '@/features/saved/UserScriptDialogs'
import { formatBytes } from '@/lib/format'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, PageHeader, Stack } from '@/ui/Page'
import { RelativeTime } from '@/ui/RelativeTime'
import { type Column, Table, TableSkeleton } from '@/ui/Table'
import { useTitle } from './use-title'

export function UserScriptsPage() {
  useTitle('User Scripts')
  const scripts = useQuery(userScriptsQuery)
  const [isAdding, setAdding] = useState(false)
  const [open, setOpen] = useState<{ kind: 'edit' | 'delete'; script: UserScript } | null>(null)
  const close = () => setOpen(null)
  const columns = useMemo<Column<UserScript>[]>(
    () => [
      { id: 'name', name: 'Name', cell: ({ name }) => <ClampedText text={name} /> },
      {
        id: 'size',
        name: 'Size',
        align: 'end',
        nowrap: true,
        cell: ({ size_bytes }) => formatBytes(size_bytes),
      },
      {
        id: 'changed',
        name: 'Changed',
        nowrap: true,
        cell: ({ changed_at }) => <RelativeTime at={changed_at} />,
      },
    ],
    [],
  )
  const add = (
    <Button variant="primary" icon={<Plus />} onPress={() => setAdding(true)}>
      Add User Script
    </Button>
  )
  const isEmpty = scripts.data?.length === 0
  return (
    <Stack>
      <PageHeader title="User Scripts" actions={isEmpty ? undefined : add}>
        Scripts and cloud-config that you can choose when you create an instance. They run at its first boot.
      </PageHeader>
      {scripts.isPending && <TableSkeleton label="Loading user scripts" />}
      {scripts.isError && !scripts.data && (
        <ProblemNotice
          problem={asProblem(scripts.error)}
          actions={<Button onPress={() => void scripts.refetch()}>Try again</Button>}
        />
      )}
      {isEmpty && (
        <EmptyState icon={<FileCode />} title="No user scripts" actions={add}>
          Save a script once, and choose it for each new instance that is to be set up in the same way.
        </EmptyState>
      )}
      {scripts.data && scripts.data.length > 0 && (
        <Table
          label="User Scripts"
          columns={columns}
          items={scripts.data}
          actions={(script) => (
            <RowMenu
              label={`Actions for ${script.name}`}
              actions={[
                {
                  id: 'edit',
                  label: 'Edit',
                  icon: <Pencil />,
                  onAction: () => setOpen({ kind: 'edit', script }),
                },
                {
                  id: 'delete',
                  label: 'Delete',
                  icon: <Trash2 />,
                  onAction: () => setOpen({ kind: 'delete', script }),
                  danger: true,
                  separated: true,
                },
              ]}
            />
          )}
        />
      )}
      {isAdding && <AddUserScriptDialog onClose={() => setAdding(false)} />}
      {open?.kind === 'edit' && <EditUserScriptDialog script={open.script} onClose={close} />}
      {open?.kind === 'delete' && <DeleteUserScriptDialog script={open.script} onClose={close} />}
    </Stack>
  )
}
