import { useQuery } from '@tanstack/react-query'
import { imageFindingsQuery } from '@/api/queries/images'
import type { DiskFindings, Image, ImageFindings } from '@/api/types'
import { formatBytes, NONE } from '@/lib/format'
import { formatInstant } from '@/lib/time'
import { Disclosure } from '@/ui/Disclosure'
import { Notice } from '@/ui/Notice'
import { Card, type Fact, Facts, Stack } from '@/ui/Page'
import { type Column, Table } from '@/ui/Table'

type FileSystem = DiskFindings['file_systems'][number]

const PRESENCE: Record<DiskFindings['cloud_init'], string> = {
  present: 'Installed',
  absent: 'Not installed',
  unknown: 'Not known',
}

const FIRMWARE: Record<DiskFindings['firmware'], string> = {
  bios: 'BIOS',
  uefi: 'UEFI only',
  both: 'BIOS or UEFI',
  unknown: 'Not known',
}

const LOADERS: Record<DiskFindings['boot_loaders'][number], string> = {
  grub: 'GRUB',
  'systemd-boot': 'systemd-boot',
  syslinux: 'SYSLINUX',
  windows: 'Windows Boot Manager',
  other: 'Another one',
}

const SCHEMES: Record<DiskFindings['partition_scheme'], string> = {
  none: 'None',
  mbr: 'MBR',
  gpt: 'GPT',
}

/** What keeps an instance from starting is more than advice. */
const SERIOUS: ReadonlySet<string> = new Set(['domain_controller', 'uefi_only', 'other_architecture'])

/** What was found inside of an image's disk; nothing while that is not known. */
export function ImageInside({ image }: { image: Image }) {
  const { data } = useFindings(image)
  if (!data?.findings) return null
  return (
    <Card title="Inside of the disk">
      <Stack tight>
        <Notices notices={data.notices} />
        <Facts facts={factsOf(data.findings, data.inspected_at)} />
        {data.findings.file_systems.length > 0 && (
          <Disclosure title={`File systems (${data.findings.file_systems.length})`}>
            <Table
              label="File systems"
              columns={COLUMNS}
              items={data.findings.file_systems.map((item) => ({ ...item, id: String(item.offset) }))}
            />
          </Disclosure>
        )}
      </Stack>
    </Card>
  )
}

/** What one has to know before an instance is made of an image. */
export function ImageNotices({ image }: { image: Image }) {
  const { data } = useFindings(image)
  return data ? <Notices notices={data.notices} /> : null
}

function useFindings(image: Image) {
  return useQuery({ ...imageFindingsQuery(image), enabled: image.status === 'available' })
}

function Notices({ notices }: Pick<ImageFindings, 'notices'>) {
  return notices.map(({ code, text }) => (
    <Notice key={code} tone={SERIOUS.has(code) ? 'warn' : 'info'}>
      <p>{text}</p>
    </Notice>
  ))
}

function factsOf(found: DiskFindings, inspectedAt: string | null): Fact[] {
  const { system } = found
  const unread = found.unread.map(({ what, reason }) => `${what}: ${reason}`)
  return [
    { name: 'System', value: system.name ?? system.distribution ?? systemFamily(system.family) },
    ...(system.build ? [{ name: 'Build', value: system.build }] : []),
    { name: 'Architecture', value: system.architecture ?? NONE },
    { name: 'Cloud-init', value: PRESENCE[found.cloud_init] },
    { name: 'QEMU guest agent', value: PRESENCE[found.guest_agent] },
    { name: 'SSH server', value: PRESENCE[found.ssh_server] },
    ...(found.domain_controller === 'present' ? [{ name: 'Domain controller', value: 'Yes' }] : []),
    { name: 'Starts by', value: FIRMWARE[found.firmware] },
    { name: 'Boot loader', value: found.boot_loaders.map((loader) => LOADERS[loader]).join(', ') || NONE },
    { name: 'Partition table', value: SCHEMES[found.partition_scheme] },
    { name: 'In use', value: formatBytes(found.used_bytes) },
    ...(unread.length > 0 ? [{ name: 'Could not be read', value: unread.join('; '), wide: true }] : []),
    { name: 'Looked into', value: inspectedAt ? formatInstant(inspectedAt) : NONE },
  ]
}

function systemFamily(family: DiskFindings['system']['family']): string {
  switch (family) {
    case 'linux':
      return 'Linux'
    case 'windows':
      return 'Windows'
    case 'bsd':
      return 'BSD'
    case 'other':
      return 'Another one'
    case 'unknown':
      return 'None was found'
  }
}

const COLUMNS: Column<FileSystem & { id: string }>[] = [
  { id: 'kind', name: 'Kind', cell: ({ kind, encrypted }) => (encrypted ? `${kind}, encrypted` : kind) },
  { id: 'partition', name: 'Partition', cell: ({ partition }) => partition ?? NONE },
  { id: 'label', name: 'Label', cell: ({ label }) => label ?? NONE },
  { id: 'size', name: 'Size', align: 'end', cell: ({ size }) => formatBytes(size) },
  { id: 'used', name: 'Used', align: 'end', cell: ({ used }) => formatBytes(used) },
]
