import { useQuery } from '@tanstack/react-query'
import { Camera } from 'lucide-react'
import { type FormEvent, useState } from 'react'
import { useLocations } from '@/api/queries/catalogue'
import { type Compression, estimateQuery, useCaptureImage } from '@/api/queries/images'
import type { CaptureEstimate, CaptureFormat, ImageCreate, Instance } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { formatBytes, formatDuration, plural } from '@/lib/format'
import { nameProblem } from '@/lib/name'
import { asProblem, toSentence } from '@/lib/problem'
import { splitTags } from '@/lib/search'
import { Button } from '@/ui/Button'
import { Dialog, DialogActions } from '@/ui/Dialog'
import { Disclosure } from '@/ui/Disclosure'
import { SelectField, TextField } from '@/ui/Field'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { TagsField, tagsProblem } from './TagsField'

type Level = 'application' | 'filesystem' | 'crash'

const COMPRESSION = [
  { id: 'default', label: 'Provider’s default' },
  { id: 'zstd', label: 'zstd', detail: 'Small file, fast' },
  { id: 'zlib', label: 'zlib', detail: 'For tools that cannot read zstd' },
  { id: 'none', label: 'None', detail: 'Largest file, least processing' },
]

const FORMAT_DETAILS: Record<CaptureFormat, string> = {
  qcow2: 'Takes the space of its content, and can be compressed',
  raw: 'The bytes of the disk, as large as the disk',
  vhd: 'For Hyper-V and Xen; not compressed',
}

const CONTROLLER = [
  { id: 'unanswered', label: 'I do not know' },
  { id: 'no', label: 'No' },
  { id: 'yes', label: 'Yes', detail: 'Demote it first: an image of one cannot be restored' },
]

const CONSISTENCY = [
  { id: 'best', label: 'Best available', detail: 'The level that is reached is recorded with the image' },
  { id: 'application', label: 'Application', detail: 'The guest’s freeze hooks must run, or the task fails' },
  { id: 'filesystem', label: 'File system', detail: 'File systems must be frozen, or the task fails' },
  { id: 'crash', label: 'Crash', detail: 'Nothing is frozen; the disk is as after a power failure' },
]

export interface CaptureDialogProps {
  instance: Instance
  onClose: () => void
  onCreated: (imageId: string) => void
}

/** Asks for the name of a new image and starts the capture. */
export function CaptureDialog({ instance, onClose, onCreated }: CaptureDialogProps) {
  const [name, setName] = useState('')
  const [description, setDescription] = useState('')
  const [tags, setTags] = useState('')
  const [format, setFormat] = useState('default')
  const [compression, setCompression] = useState('default')
  const [consistency, setConsistency] = useState('best')
  const [controller, setController] = useState('unanswered')
  const [submitted, setSubmitted] = useState(false)
  const capture = useCaptureImage()
  const isWindows = (instance.declared_os_type ?? instance.os_type) === 'windows'
  const usual = useLocations().data?.find(({ id }) => id === instance.location_id)?.capture_format
  const isCompressible = (format === 'default' ? (usual ?? 'qcow2') : format) === 'qcow2'

  const nameError = nameProblem(name)
  const problem = capture.isError ? asProblem(capture.error) : null
  const fieldError = problem?.field('/name')
  const tagsError = problem ? tagsProblem(problem) : null

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (nameError) return focusFirstInvalid(event.currentTarget)
    const body: ImageCreate = { source: { type: 'instance', id: instance.id }, name: name.trim() }
    if (description.trim()) body.description = description.trim()
    if (splitTags(tags).length > 0) body.tags = splitTags(tags)
    if (isWindows && controller !== 'unanswered') body.domain_controller = controller === 'yes'
    if (format !== 'default') body.format = format as CaptureFormat
    if (isCompressible && compression !== 'default') body.compression = compression as Compression
    if (consistency !== 'best')
      body.consistency = { want: consistency as Level, minimum: consistency as Level }
    capture.mutate(body, {
      onSuccess: ({ image }) => {
        onClose()
        onCreated(image.id)
      },
    })
  }

  return (
    <Dialog title={`Image of ${instance.name}`} icon={<Camera aria-hidden="true" />} isOpen onClose={onClose}>
      <form onSubmit={submit}>
        <TextField
          label="Name"
          placeholder="production-web-server-v2"
          value={name}
          onChange={setName}
          autoFocus
          problem={
            (submitted || name.length > 0 ? nameError : null) ?? (fieldError ? toSentence(fieldError) : null)
          }
        />
        {isWindows && (
          <SelectField
            label="Is it a domain controller?"
            choices={CONTROLLER}
            value={controller}
            onChange={setController}
          />
        )}
        <PrimaryDiskNotice
          instance={instance}
          format={format === 'default' ? undefined : (format as CaptureFormat)}
          compression={
            compression === 'default' || !isCompressible ? undefined : (compression as Compression)
          }
        />
        <Notice tone="warn">
          <p>
            Images are not verified automatically and should not be used as a back-up solution. Back a
            database up before you create an image, for example with <code>mysqldump</code> or SQL Server
            Management Studio.
          </p>
        </Notice>
        <Disclosure title="Advanced">
          <TextField label="Description" value={description} onChange={setDescription} optional />
          <TagsField value={tags} onChange={setTags} problem={tagsError} />
          <SelectField
            label="Format"
            choices={[
              { id: 'default', label: `Provider’s default${usual ? `: ${usual}` : ''}` },
              ...Object.entries(FORMAT_DETAILS).map(([id, detail]) => ({ id, label: id, detail })),
            ]}
            value={format}
            onChange={setFormat}
          />
          {isCompressible && (
            <SelectField
              label="Compression"
              choices={COMPRESSION}
              value={compression}
              onChange={setCompression}
            />
          )}
          {instance.power !== 'off' && (
            <SelectField
              label="Consistency"
              choices={CONSISTENCY}
              value={consistency}
              onChange={setConsistency}
            />
          )}
        </Disclosure>
        {problem && !fieldError && !tagsError && <ProblemNotice problem={problem} />}
        <DialogActions>
          <Button onPress={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" busy={capture.isPending}>
            Create
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

/** Returns what an estimate is based on. */
function basisOf({ basis, captures }: CaptureEstimate): string {
  const images = captures === 1 ? 'image' : plural(captures, 'image')
  switch (basis) {
    case 'instance':
      return `as the last ${images} of this instance did`
    case 'hypervisor':
      return `as the last ${images} of its hypervisor did`
    case 'rule':
      return 'by a rule of thumb, because no image was created there before'
  }
}

/** The time from which the dialog says that creation takes long, in seconds. */
const LONG = 60 * 60

interface PrimaryDiskNoticeProps {
  instance: Instance
  format: CaptureFormat | undefined
  compression: Compression | undefined
}

function PrimaryDiskNotice({ instance, format, compression }: PrimaryDiskNoticeProps) {
  const { data: estimate } = useQuery(estimateQuery(instance.id, format, compression))
  const primary = instance.disks.find((disk) => disk.primary)
  const others = instance.disks.length - (primary ? 1 : 0)
  return (
    <Notice>
      <p>
        Only the primary disk{primary && ` (${formatBytes(primary.virtual_size_bytes)})`} is captured.{' '}
        {others > 0
          ? `The other ${others === 1 ? 'disk of this instance is' : `${others} disks of this instance are`} not included.`
          : 'Additional volumes and disks are not included.'}{' '}
        {instance.power === 'off'
          ? 'The instance stays stopped while its image is created.'
          : 'The instance keeps running; there is no need to power it down.'}{' '}
        {estimate && estimate.seconds >= LONG && 'Creation can take several hours because the disk is large.'}
      </p>
      {estimate?.notices.map(({ code, text }) => (
        <p key={code}>{toSentence(text)}</p>
      ))}
      {estimate && (
        <p>
          The image will take about {formatBytes(estimate.size_bytes)} and {formatDuration(estimate.seconds)},{' '}
          {basisOf(estimate)}. It takes longer while the instance writes a lot, if its disk was larger once,
          and on older hardware.
        </p>
      )}
    </Notice>
  )
}
