import type { Names } from '@/api/queries/names'
import type { Image } from '@/api/types'
import { formatBytes, formatDuration, NONE } from '@/lib/format'
import { OS_TYPES } from '@/lib/os-types'
import { toSentence } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { CopyableText } from '@/ui/CopyableText'
import { Card, type Fact, Facts, MutedText } from '@/ui/Page'
import { SourceInstance } from './ImageTable'

const CONSISTENCY: Record<string, string> = {
  application: 'Application: the guest’s freeze hooks ran',
  filesystem: 'File system: file systems were frozen',
  crash: 'Crash: as after a power failure',
  stopped: 'Stopped: the instance was stopped',
}

export interface ImageFactsProps {
  image: Image
  location: string
  names: Names
}

/** The properties of an image. */
export function ImageFacts({ image, location, names }: ImageFactsProps) {
  const facts: Fact[] = [
    { name: 'Size', value: formatBytes(image.size_bytes) },
    { name: 'Virtual size', value: formatBytes(image.virtual_size_bytes) },
    { name: 'Format', value: image.format ?? NONE },
    { name: 'Location', value: location },
    { name: 'Operating system', value: OS_TYPES[image.os_type] },
    {
      name: 'Cloud-init',
      value: image.cloud_init ? 'Supported' : 'Not supported: takes no SSH keys and user scripts',
    },
    ...catalogueFacts(image),
    ...(image.shared
      ? [
          { name: 'Shared by', value: image.shared.owner },
          {
            name: 'Shared until',
            value: image.shared.expires_at ? formatInstant(image.shared.expires_at) : 'revoked',
          },
        ]
      : []),
    ...importFacts(image),
    ...(image.kind === 'custom' && !image.shared && !image.import
      ? [
          { name: 'Source Instance', value: <SourceInstance image={image} names={names} /> },
          {
            name: 'Consistency',
            value: image.consistency ? (CONSISTENCY[image.consistency] ?? image.consistency) : NONE,
          },
          ...captureFacts(image),
        ]
      : []),
    { name: 'Created', value: formatInstant(image.created_at) },
    { name: 'Available since', value: image.available_at ? formatInstant(image.available_at) : NONE },
  ]
  return (
    <>
      <Card title="Details">
        <Facts facts={facts} />
      </Card>
      {Object.keys(image.metadata).length > 0 && (
        <Card title="Metadata">
          <Facts facts={Object.entries(image.metadata).map(([name, value]) => ({ name, value }))} />
        </Card>
      )}
      <Card title="Identity">
        <Facts
          facts={[
            { name: 'ID', value: <CopyableText label="ID" value={image.id} />, wide: true },
            {
              name: 'Disk digest (the same in every format)',
              value: <Digest label="disk digest" value={image.logical_digest} />,
              wide: true,
            },
            {
              name: 'File digest',
              value: <Digest label="file digest" value={image.stored_digest} />,
              wide: true,
            },
          ]}
        />
      </Card>
    </>
  )
}

/** How a stock image is offered. */
function catalogueFacts({ catalogue }: Image): Fact[] {
  if (!catalogue) return []
  const { family, family_version, latest, deprecation } = catalogue
  return [
    ...(family ? [{ name: 'Family', value: family }] : []),
    ...(family_version
      ? [{ name: 'Version', value: latest ? `${family_version} (latest)` : family_version }]
      : []),
    ...(deprecation ? [{ name: 'Deprecated', value: deprecation.notice, wide: true }] : []),
  ]
}

/** Where the file of an imported image came from. */
function importFacts({ import: imported }: Image): Fact[] {
  if (!imported) return []
  const { origin, file_bytes, format, packing } = imported
  const packed = packing ? `, packed with ${packing}` : ''
  return [
    { name: 'Imported from', value: origin || 'a file without a name', wide: true },
    ...(format ? [{ name: 'Imported file', value: `${formatBytes(file_bytes)}, ${format}${packed}` }] : []),
  ]
}

/** How the capture went, as far as it is known. */
function captureFacts({ capture, storage }: Image): Fact[] {
  const facts: Fact[] = []
  if (capture?.downgraded_because) {
    const value = toSentence(capture.downgraded_because)
    facts.push({ name: 'Consistency was lowered because', value, wide: true })
  }
  if (capture?.frozen_ms != null) {
    facts.push({ name: 'File systems were frozen', value: `${capture.frozen_ms} ms` })
  }
  if (capture?.stopped_ms != null) {
    facts.push({ name: 'Processors were stopped', value: `${capture.stopped_ms} ms` })
  }
  if (capture?.took_ms != null) {
    const estimated =
      capture.estimated_s != null ? ` (estimated: ${formatDuration(capture.estimated_s)})` : ''
    facts.push({
      name: 'Creating it took',
      value: `${formatDuration(Math.ceil(capture.took_ms / 1000))}${estimated}`,
    })
  }
  if (capture?.method) facts.push({ name: 'Capture method', value: capture.method })
  if (storage)
    facts.push({ name: 'File', value: <CopyableText label="file" value={storage.key} />, wide: true })
  return facts
}

function Digest({ label, value }: { label: string; value: string | null | undefined }) {
  return value ? (
    <CopyableText label={label} value={value} />
  ) : (
    <MutedText>Not known until the image is available</MutedText>
  )
}
