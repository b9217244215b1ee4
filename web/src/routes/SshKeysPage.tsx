import { useQuery } from '@tanstack/react-query'
import { KeyRound, Pencil, Plus, Trash2 } from 'lucide-react'
import { useMemo, useState } from 'react'
import { sshKeysQuery } from '@/api/queries/saved'
import type { SshKey } from '@/api/types'
import { AddSshKeyDialog, DeleteSshKeyDialog, RenameSshKeyDialog } from '@/features/saved/SshKeyDialogs'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { CopyableText } from '@/ui/CopyableText'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, PageHeader, Stack } from '@/ui/Page'
import { RelativeTime } from '@/ui/RelativeTime'
import { type Column, Table, TableSkeleton } from '@/ui/Table'
import { useTitle } from './use-title'

export function SshKeysPage() {
  useTitle('SSH Keys')
  const sshKeys = useQuery(sshKeysQuery)
  const [isAdding, setAdding] = useState(false)
  const [open, setOpen] = useState<{ kind: 'rename' | 'delete'; sshKey: SshKey } | null>(null)
  const close = () => setOpen(null)
  const columns = useMemo<Column<SshKey>[]>(
    () => [
      { id: 'name', name: 'Name', cell: ({ name }) => <ClampedText text={name} /> },
      { id: 'type', name: 'Type', cell: ({ type }) => type },
      {
        id: 'fingerprint',
        name: 'Fingerprint',
        cell: ({ name, fingerprint }) => (
          <CopyableText label={`fingerprint of ${name}`} value={fingerprint} />
        ),
      },
      {
        id: 'created',
        name: 'Added',
        nowrap: true,
        cell: ({ created_at }) => <RelativeTime at={created_at} />,
      },
    ],
    [],
  )
  const add = (
    <Button variant="primary" icon={<Plus />} onPress={() => setAdding(true)}>
      Add SSH Key
    </Button>
  )
  const isEmpty = sshKeys.data?.length === 0
  return (
    <Stack>
      <PageHeader title="SSH Keys" actions={isEmpty ? undefined : add}>
        Public keys that you can choose when you create an instance.
      </PageHeader>
      {sshKeys.isPending && <TableSkeleton label="Loading SSH keys" />}
      {sshKeys.isError && !sshKeys.data && (
        <ProblemNotice
          problem={asProblem(sshKeys.error)}
          actions={<Button onPress={() => void sshKeys.refetch()}>Try again</Button>}
        />
      )}
      {isEmpty && (
        <EmptyState icon={<KeyRound />} title="No SSH keys" actions={add}>
          Save the public key of your computer once, and choose it for each new instance.
        </EmptyState>
      )}
      {sshKeys.data && sshKeys.data.length > 0 && (
        <Table
          label="SSH Keys"
          columns={columns}
          items={sshKeys.data}
          actions={(sshKey) => (
            <RowMenu
              label={`Actions for ${sshKey.name}`}
              actions={[
                {
                  id: 'rename',
                  label: 'Rename',
                  icon: <Pencil />,
                  onAction: () => setOpen({ kind: 'rename', sshKey }),
                },
                {
                  id: 'delete',
                  label: 'Delete',
                  icon: <Trash2 />,
                  onAction: () => setOpen({ kind: 'delete', sshKey }),
                  danger: true,
                  separated: true,
                },
              ]}
            />
          )}
        />
      )}
      {isAdding && <AddSshKeyDialog onClose={() => setAdding(false)} />}
      {open?.kind === 'rename' && <RenameSshKeyDialog sshKey={open.sshKey} onClose={close} />}
      {open?.kind === 'delete' && <DeleteSshKeyDialog sshKey={open.sshKey} onClose={close} />}
    </Stack>
  )
}
