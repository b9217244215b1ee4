import { Unlink } from 'lucide-react'
import type { ImageStorage } from '@/api/types'
import { formatBytes, NONE } from '@/lib/format'
import { toSentence } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { Button } from '@/ui/Button'
import { CopyableText } from '@/ui/CopyableText'
import { ButtonRow, Card, type Fact, Facts, MutedText, Stack } from '@/ui/Page'
import { RelativeTime } from '@/ui/RelativeTime'
import { type Column, Table } from '@/ui/Table'
import type { StorageCommands } from './actions'
import { ROLES, STATES } from './labels'
import { HealthBadge, Room } from './StorageTable'

export interface StorageFactsProps {
  storage: ImageStorage
  commands: StorageCommands
  hypervisorName: (id: string) => string
  /** Whether its kind has secrets. */
  hasSecrets: boolean
  /** Returns the name of another storage. */
  storageName: (id: string) => string
}

/** The properties of an image storage, and what each hypervisor sees of it. */
export function StorageFacts({
  storage,
  commands,
  hypervisorName,
  hasSecrets,
  storageName,
}: StorageFactsProps) {
  const room: Fact[] = [
    { name: 'Free', value: formatBytes(storage.available_bytes) },
    { name: 'Size', value: formatBytes(storage.total_bytes) },
    { name: 'Reserved for tasks', value: formatBytes(storage.reserved_bytes) },
    {
      name: 'Nearly full below',
      value: storage.min_free_bytes == null ? '5 %, at most 10 GiB' : formatBytes(storage.min_free_bytes),
    },
    ...storage.images.map((images) => ({
      name: `Images, ${images.status}`,
      value: `${images.count} (${formatBytes(images.bytes)})`,
    })),
  ]
  const facts: Fact[] = [
    { name: 'Use', value: ROLES[storage.role].label },
    { name: 'Kind', value: storage.kind },
    { name: 'State', value: STATES[storage.state].detail },
    ...(storage.drain_to ? [{ name: 'Images move to', value: storageName(storage.drain_to) }] : []),
    { name: 'Weight', value: storage.weight === 0 ? '0: only when asked for' : String(storage.weight) },
    ...(storage.shared_path ? [{ name: 'Path', value: 'the same on every machine' }] : []),
    { name: 'Created', value: formatInstant(storage.created_at) },
  ]
  const settings: Fact[] = [
    ...Object.entries(storage.settings).map(([name, value]) => ({
      name,
      value: <CopyableText label={name} value={value} />,
      wide: true,
    })),
    ...storage.secrets.map((secret) => ({
      name: secret.name,
      value: `set ${formatInstant(secret.changed_at)}, never shown`,
    })),
  ]
  return (
    <>
      <Card title="Room">
        <Facts facts={room} />
      </Card>
      <Card
        title="Hypervisors"
        actions={<Button onPress={() => commands.bind(storage)}>Bind to a hypervisor</Button>}
      >
        <Bindings storage={storage} commands={commands} hypervisorName={hypervisorName} />
      </Card>
      <Card title="Details">
        <Facts facts={facts} />
      </Card>
      <Card
        title="Settings"
        actions={
          <ButtonRow>
            {hasSecrets && <Button onPress={() => commands.editSecrets(storage)}>Change secrets</Button>}
            <Button onPress={() => commands.test(storage)}>Test connection</Button>
          </ButtonRow>
        }
      >
        {settings.length > 0 ? <Facts facts={settings} /> : <MutedText>It has none.</MutedText>}
      </Card>
      <Card title="Identity">
        <Facts facts={[{ name: 'ID', value: <CopyableText label="ID" value={storage.id} />, wide: true }]} />
      </Card>
    </>
  )
}

type Bound = ImageStorage['bindings'][number] & { id: string }

function Bindings({
  storage,
  commands,
  hypervisorName,
}: Pick<StorageFactsProps, 'storage' | 'commands' | 'hypervisorName'>) {
  if (storage.bindings.length === 0) {
    return <MutedText>It is bound to no hypervisor, so nothing can use it.</MutedText>
  }
  const items: Bound[] = storage.bindings.map((binding) => ({ ...binding, id: binding.hypervisor_id }))
  const columns: Column<Bound>[] = [
    {
      id: 'hypervisor',
      name: 'Hypervisor',
      cell: (bound) => (
        <Stack tight>
          {hypervisorName(bound.hypervisor_id)}
          {bound.problem && <MutedText>{toSentence(bound.problem)}</MutedText>}
        </Stack>
      ),
    },
    { id: 'health', name: 'Health', nowrap: true, cell: (bound) => <HealthBadge storage={bound} /> },
    { id: 'room', name: 'Room', nowrap: true, cell: (bound) => <Room storage={bound} /> },
    {
      id: 'seen',
      name: 'Reported',
      cell: (bound) => (bound.seen_at ? <RelativeTime at={bound.seen_at} /> : NONE),
    },
  ]
  return (
    <Table
      label="Hypervisors"
      columns={columns}
      items={items}
      actions={(bound) => (
        <Button
          variant="quiet"
          icon={<Unlink />}
          onPress={() => commands.unbind(storage, bound.hypervisor_id)}
        >
          Unbind
        </Button>
      )}
    />
  )
}
