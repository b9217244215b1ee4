import { useQuery } from '@tanstack/react-query'
import { ArrowDown, ArrowUp, Eye, EyeOff, FolderTree, Pencil, Plus, Trash2 } from 'lucide-react'
import { useMemo, useState } from 'react'
import { mediaGroupsQuery, useEditMediaGroup } from '@/api/queries/media-groups'
import type { MediaGroup, MediaGroupPatch } from '@/api/types'
import {
  AddMediaGroupDialog,
  DeleteMediaGroupDialog,
  EditMediaGroupDialog,
} from '@/features/catalogue/MediaGroupDialogs'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, PageHeader, Stack } from '@/ui/Page'
import { Status } from '@/ui/Status'
import { type Column, Table, TableSkeleton } from '@/ui/Table'
import { useTitle } from './use-title'

export function MediaGroupsPage() {
  useTitle('Media Groups')
  const groups = useQuery(mediaGroupsQuery)
  const edit = useEditMediaGroup()
  const [isAdding, setAdding] = useState(false)
  const [open, setOpen] = useState<{ kind: 'edit' | 'delete'; group: MediaGroup } | null>(null)
  const close = () => setOpen(null)
  const change = (group: MediaGroup, patch: MediaGroupPatch) => edit.mutate({ group, patch })
  const columns = useMemo<Column<MediaGroup>[]>(
    () => [
      { id: 'label', name: 'Label', cell: ({ label }) => <ClampedText text={label} /> },
      {
        id: 'description',
        name: 'Description',
        cell: ({ description }) => <ClampedText text={description} />,
      },
      {
        id: 'offered',
        name: 'Customers',
        nowrap: true,
        cell: ({ hidden }) => (
          <Status tone={hidden ? 'idle' : 'good'}>{hidden ? 'Hidden' : 'Visible'}</Status>
        ),
      },
    ],
    [],
  )
  const add = (
    <Button variant="primary" icon={<Plus />} onPress={() => setAdding(true)}>
      Add Media Group
    </Button>
  )
  const items = groups.data ?? []
  const isEmpty = groups.data?.length === 0
  const problem = edit.isError ? asProblem(edit.error) : null
  return (
    <Stack>
      <PageHeader title="Media Groups" actions={isEmpty ? undefined : add}>
        Labels that group stock images when an instance is created, in this order.
      </PageHeader>
      {problem && <ProblemNotice problem={problem} />}
      {groups.isPending && <TableSkeleton label="Loading media groups" />}
      {groups.isError && !groups.data && (
        <ProblemNotice
          problem={asProblem(groups.error)}
          actions={<Button onPress={() => void groups.refetch()}>Try again</Button>}
        />
      )}
      {isEmpty && (
        <EmptyState icon={<FolderTree />} title="No media groups" actions={add}>
          Add groups such as Linux and Windows, and put stock images in them.
        </EmptyState>
      )}
      {items.length > 0 && (
        <Table
          label="Media Groups"
          columns={columns}
          items={items}
          actions={(group) => (
            <RowMenu
              label={`Actions for ${group.label}`}
              actions={[
                {
                  id: 'edit',
                  label: 'Edit',
                  icon: <Pencil />,
                  onAction: () => setOpen({ kind: 'edit', group }),
                },
                {
                  id: 'up',
                  label: 'Move up',
                  icon: <ArrowUp />,
                  onAction: () => change(group, { position: group.position - 1 }),
                  reason: group.position === 0 ? 'It is the first one.' : null,
                },
                {
                  id: 'down',
                  label: 'Move down',
                  icon: <ArrowDown />,
                  onAction: () => change(group, { position: group.position + 1 }),
                  reason: group.position === items.length - 1 ? 'It is the last one.' : null,
                },
                {
                  id: 'hide',
                  label: group.hidden ? 'Show to customers' : 'Hide from customers',
                  icon: group.hidden ? <Eye /> : <EyeOff />,
                  onAction: () => change(group, { hidden: !group.hidden }),
                },
                {
                  id: 'delete',
                  label: 'Delete',
                  icon: <Trash2 />,
                  onAction: () => setOpen({ kind: 'delete', group }),
                  danger: true,
                  separated: true,
                },
              ]}
            />
          )}
        />
      )}
      {isAdding && <AddMediaGroupDialog onClose={() => setAdding(false)} />}
      {open?.kind === 'edit' && <EditMediaGroupDialog group={open.group} onClose={close} />}
      {open?.kind === 'delete' && <DeleteMediaGroupDialog group={open.group} onClose={close} />}
    </Stack>
  )
}
