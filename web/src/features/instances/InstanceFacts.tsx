import { Link } from '@tanstack/react-router'
import type { Instance } from '@/api/types'
import { formatBytes, NONE, plural } from '@/lib/format'
import { SSH_USER, VM_MODE } from '@/lib/metadata'
import { OS_TYPES } from '@/lib/os-types'
import { formatInstant } from '@/lib/time'
import { ClampedText } from '@/ui/ClampedText'
import { CopyableText } from '@/ui/CopyableText'
import { Card, Facts } from '@/ui/Page'

export interface InstanceFactsProps {
  instance: Instance
  location: string
  hypervisor: string
}

export function InstanceFacts({ instance, location, hypervisor }: InstanceFactsProps) {
  const ssh = sshCommand(instance)
  const system = instance.declared_os_type ?? instance.os_type
  return (
    <Card title="Details">
      <Facts
        facts={[
          { name: 'Memory', value: formatBytes(instance.memory_bytes) },
          { name: 'Processors', value: plural(instance.vcpus, 'vCPU') },
          { name: 'Location', value: location },
          { name: 'Hypervisor', value: hypervisor },
          {
            name: 'Image',
            value: instance.image ? (
              <Link to="/images/$id" params={{ id: instance.image.id }}>
                <ClampedText text={instance.image.name} />
              </Link>
            ) : (
              NONE
            ),
          },
          ...(instance.metadata[SSH_USER] ? [{ name: 'SSH user', value: instance.metadata[SSH_USER] }] : []),
          ...(instance.metadata[VM_MODE] ? [{ name: 'Machine', value: instance.metadata[VM_MODE] }] : []),
          { name: 'Network card', value: networkOf(instance) },
          ...(ssh
            ? [{ name: 'SSH', value: <CopyableText label="SSH command" value={ssh} />, wide: true }]
            : []),
          { name: 'Operating system', value: OS_TYPES[system] },
          ...(system === 'windows'
            ? [
                {
                  name: 'Largest disk so far',
                  value: `${formatBytes(instance.largest_disk_bytes)}, ${formatBytes(instance.largest_content_bytes)} used`,
                },
              ]
            : []),
          { name: 'Created', value: formatInstant(instance.created_at) },
          ...instance.disks.map((disk, index) => ({
            name: disk.primary ? 'Primary disk' : `Disk ${index + 1} (not captured)`,
            value: `${formatBytes(disk.virtual_size_bytes)}, ${disk.format}`,
          })),
          ...(instance.iso ? [{ name: 'ISO', value: instance.iso.name }] : []),
          { name: 'ID', value: <CopyableText label="ID" value={instance.id} />, wide: true },
        ]}
      />
    </Card>
  )
}

function networkOf({ network }: Instance): string {
  return network ? `${NETWORK_KINDS[network.kind]}, ${network.mac}` : NONE
}

const NETWORK_KINDS: Record<NonNullable<Instance['network']>['kind'], string> = {
  user: 'Closed, with a port for SSH',
  bridge: 'Bridge',
}

/** The command that reaches the guest; without the user where the image does not name one. */
function sshCommand({ network }: Instance): string | undefined {
  if (!network?.ssh) return undefined
  const { user, host, port } = network.ssh
  return `ssh -p ${port} ${user ? `${user}@` : ''}${host}`
}
