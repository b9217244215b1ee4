import { Gauge, UserPlus } from 'lucide-react'
import { useMemo, useState } from 'react'
import { useAccounts } from '@/api/queries/accounts'
import type { Account } from '@/api/types'
import { AddAccountDialog, EditAccountDialog } from '@/features/limits/AccountDialogs'
import { bytesOf, imagesOf } from '@/features/limits/numbers'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { PageHeader, Stack } from '@/ui/Page'
import { RelativeTime } from '@/ui/RelativeTime'
import { type Column, Table, TableSkeleton } from '@/ui/Table'
import { useTitle } from './use-title'

export function AccountsPage() {
  useTitle('Accounts')
  const accounts = useAccounts()
  const [edited, setEdited] = useState<Account | null>(null)
  const [isAdding, setAdding] = useState(false)
  const columns = useMemo<Column<Account>[]>(
    () => [
      { id: 'name', name: 'Name', cell: ({ name }) => <ClampedText text={name} /> },
      {
        id: 'role',
        name: 'Role',
        nowrap: true,
        cell: ({ role }) => (role === 'admin' ? 'Admin' : 'Customer'),
      },
      {
        id: 'images',
        name: 'Images',
        align: 'end',
        nowrap: true,
        cell: ({ images_used, image_limit }) => imagesOf(images_used, image_limit),
      },
      {
        id: 'bytes',
        name: 'Stored',
        align: 'end',
        nowrap: true,
        cell: ({ image_bytes_used, image_bytes_limit }) => bytesOf(image_bytes_used, image_bytes_limit),
      },
      {
        id: 'created',
        name: 'Created',
        nowrap: true,
        cell: ({ created_at }) => <RelativeTime at={created_at} />,
      },
    ],
    [],
  )
  return (
    <Stack>
      <PageHeader
        title="Accounts"
        actions={
          <Button variant="primary" icon={<UserPlus />} onPress={() => setAdding(true)}>
            Add Account
          </Button>
        }
      >
        Customers and admins, with what their images take. A limit counts the images of all locations.
      </PageHeader>
      {accounts.isPending && <TableSkeleton label="Loading accounts" />}
      {accounts.isError && !accounts.data && (
        <ProblemNotice
          problem={asProblem(accounts.error)}
          actions={<Button onPress={() => void accounts.refetch()}>Try again</Button>}
        />
      )}
      {accounts.data && (
        <Table
          label="Accounts"
          columns={columns}
          items={accounts.data}
          actions={(account) => (
            <RowMenu
              label={`Actions for ${account.name}`}
              actions={[
                {
                  id: 'limits',
                  label: 'Change limits',
                  icon: <Gauge />,
                  onAction: () => setEdited(account),
                },
              ]}
            />
          )}
        />
      )}
      {edited && <EditAccountDialog account={edited} onClose={() => setEdited(null)} />}
      {isAdding && <AddAccountDialog onClose={() => setAdding(false)} />}
    </Stack>
  )
}
