import { useQuery } from '@tanstack/react-query'
import { History, KeyRound, Pencil, Plus, Power, Send, Trash2, Webhook as WebhookIcon } from 'lucide-react'
import { useState } from 'react'
import { useEditWebhook, useTestWebhook, webhooksQuery } from '@/api/queries/webhooks'
import type { Webhook, WebhookAndSecret } from '@/api/types'
import { DeliveriesDialog } from '@/features/webhooks/DeliveriesDialog'
import {
  AddWebhookDialog,
  DeleteWebhookDialog,
  EditWebhookDialog,
  RotateSecretDialog,
  SecretDialog,
} from '@/features/webhooks/WebhookDialogs'
import { eventsText, stateOf } from '@/features/webhooks/webhooks'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { EmptyState, PageHeader, Stack } from '@/ui/Page'
import { type Column, Table, TableSkeleton } from '@/ui/Table'
import { useTitle } from './use-title'

type Open = { kind: 'edit' | 'secret' | 'deliveries' | 'delete'; webhook: Webhook }

const columns: Column<Webhook>[] = [
  { id: 'name', name: 'Name', cell: ({ name }) => <ClampedText text={name} /> },
  { id: 'url', name: 'Address', cell: ({ url }) => <ClampedText text={url} /> },
  { id: 'events', name: 'Events', cell: eventsText },
  { id: 'state', name: 'State', nowrap: true, cell: stateOf },
]

export function WebhooksPage() {
  useTitle('Webhooks')
  const webhooks = useQuery(webhooksQuery)
  const [isAdding, setAdding] = useState(false)
  const [made, setMade] = useState<WebhookAndSecret | null>(null)
  const [open, setOpen] = useState<Open | null>(null)
  const edit = useEditWebhook()
  const test = useTestWebhook()
  const close = () => setOpen(null)
  const failed = [edit, test].find(({ isError }) => isError)
  // What is shown of a webhook follows its changes.
  const shown = open && webhooks.data?.find(({ id }) => id === open.webhook.id)
  const add = (
    <Button variant="primary" icon={<Plus />} onPress={() => setAdding(true)}>
      Add Webhook
    </Button>
  )
  const isEmpty = webhooks.data?.length === 0
  const actions = (webhook: Webhook) => [
    { id: 'edit', label: 'Edit', icon: <Pencil />, onAction: () => setOpen({ kind: 'edit', webhook }) },
    {
      id: 'deliveries',
      label: 'Deliveries',
      icon: <History />,
      onAction: () => setOpen({ kind: 'deliveries', webhook }),
    },
    {
      id: 'test',
      label: 'Send test',
      icon: <Send />,
      onAction: () => test.mutate(webhook, { onSuccess: () => setOpen({ kind: 'deliveries', webhook }) }),
    },
    {
      id: 'secret',
      label: 'New secret',
      icon: <KeyRound />,
      onAction: () => setOpen({ kind: 'secret', webhook }),
    },
    {
      id: 'power',
      label: webhook.enabled ? 'Switch off' : 'Switch on',
      icon: <Power />,
      onAction: () => edit.mutate({ webhook, body: { enabled: !webhook.enabled } }),
    },
    {
      id: 'delete',
      label: 'Delete',
      icon: <Trash2 />,
      onAction: () => setOpen({ kind: 'delete', webhook }),
      danger: true,
      separated: true,
    },
  ]
  return (
    <Stack>
      <PageHeader title="Webhooks" actions={isEmpty ? undefined : add}>
        What happens in the account is sent to servers of your own, in order, and again until they take it.
      </PageHeader>
      {failed && <ProblemNotice problem={asProblem(failed.error)} />}
      {webhooks.isPending && <TableSkeleton label="Loading webhooks" />}
      {webhooks.isError && !webhooks.data && (
        <ProblemNotice
          problem={asProblem(webhooks.error)}
          actions={<Button onPress={() => void webhooks.refetch()}>Try again</Button>}
        />
      )}
      {isEmpty && (
        <EmptyState icon={<WebhookIcon />} title="No webhooks" actions={add}>
          Have a billing system or a chat learn of new images, exports and charges by itself.
        </EmptyState>
      )}
      {webhooks.data && webhooks.data.length > 0 && (
        <Table
          label="Webhooks"
          columns={columns}
          items={webhooks.data}
          actions={(webhook) => <RowMenu label={`Actions for ${webhook.name}`} actions={actions(webhook)} />}
        />
      )}
      {isAdding && (
        <AddWebhookDialog
          onAdded={(added) => {
            setAdding(false)
            setMade(added)
          }}
          onClose={() => setAdding(false)}
        />
      )}
      {made && <SecretDialog made={made} onClose={() => setMade(null)} />}
      {open?.kind === 'edit' && <EditWebhookDialog webhook={open.webhook} onClose={close} />}
      {open?.kind === 'deliveries' && shown && <DeliveriesDialog webhook={shown} onClose={close} />}
      {open?.kind === 'delete' && <DeleteWebhookDialog webhook={open.webhook} onClose={close} />}
      {open?.kind === 'secret' && (
        <RotateSecretDialog
          webhook={open.webhook}
          onRotated={(rotated) => {
            close()
            setMade(rotated)
          }}
          onClose={close}
        />
      )}
    </Stack>
  )
}
