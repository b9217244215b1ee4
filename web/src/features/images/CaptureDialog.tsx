import { Camera } from 'lucide-react'
import { type FormEvent, useState } from 'react'
import { useCaptureImage } from '@/api/queries/images'
import type { ImageCreate, Instance } from '@/api/types'
import { focusFirstWrong } from '@/lib/focus'
import { formatBytes, GIB } from '@/lib/format'
import { nameProblem } from '@/lib/name'
import { asProblem, sentence } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { Dialog, DialogActions } from '@/ui/Dialog'
import { Disclosure } from '@/ui/Disclosure'
import { SelectField, TextField } from '@/ui/Field'
import { Notice, ProblemNotice } from '@/ui/Notice'

type Compression = NonNullable<ImageCreate['compression']>
type Level = 'application' | 'filesystem' | 'crash'

const COMPRESSION = [
  { id: 'default', label: 'As the provider has set' },
  { id: 'zstd', label: 'zstd', detail: 'Small and fast' },
  { id: 'zlib', label: 'zlib', detail: 'For the oldest tools' },
  { id: 'none', label: 'None', detail: 'Largest file, least work' },
]

const CONSISTENCY = [
  { id: 'best', label: 'The best the guest can do', detail: 'The level that was reached is recorded' },
  { id: 'application', label: 'Application', detail: 'Frozen with the guest’s own hooks, or the task fails' },
  { id: 'filesystem', label: 'File system', detail: 'File systems frozen, or the task fails' },
  { id: 'crash', label: 'Crash', detail: 'Not frozen; as after a power cut' },
]

export interface CaptureDialogProps {
  instance: Instance
  onClose: () => void
  onCreated: (imageId: string) => void
}

/** Names the image of an instance and starts its capture. */
export function CaptureDialog({ instance, onClose, onCreated }: CaptureDialogProps) {
  const [name, setName] = useState('')
  const [description, setDescription] = useState('')
  const [compression, setCompression] = useState('default')
  const [consistency, setConsistency] = useState('best')
  const [tried, setTried] = useState(false)
  const capture = useCaptureImage()

  const wrongName = nameProblem(name)
  const problem = capture.isError ? asProblem(capture.error) : null
  const fieldProblem = problem?.field('/name')

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setTried(true)
    if (wrongName) return focusFirstWrong(event.currentTarget)
    const body: ImageCreate = { source: { type: 'instance', id: instance.id }, name: name.trim() }
    if (description.trim()) body.description = description.trim()
    if (compression !== 'default') body.compression = compression as Compression
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
            (tried || name.length > 0 ? wrongName : null) ?? (fieldProblem ? sentence(fieldProblem) : null)
          }
        />
        <PrimaryDiskNotice instance={instance} />
        <Notice tone="warn">
          <p>
            Images are not verified automatically and should not be used as a back-up solution. Back a
            database up before you create an image, for example with <code>mysqldump</code> or SQL Server
            Management Studio.
          </p>
        </Notice>
        <Disclosure title="Advanced">
          <TextField label="Description" value={description} onChange={setDescription} optional />
          <SelectField
            label="Compression"
            choices={COMPRESSION}
            value={compression}
            onChange={setCompression}
          />
          {instance.power !== 'off' && (
            <SelectField
              label="Consistency"
              choices={CONSISTENCY}
              value={consistency}
              onChange={setConsistency}
            />
          )}
        </Disclosure>
        {problem && !fieldProblem && <ProblemNotice problem={problem} />}
        <DialogActions>
          <Button onPress={onClose}>Cancel</Button>
          <Button type="submit" look="primary" busy={capture.isPending}>
            Create
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  )
}

/** From here on, patience is asked for. */
const LARGE = 200 * GIB

function PrimaryDiskNotice({ instance }: { instance: Instance }) {
  const primary = instance.disks.find((disk) => disk.primary)
  const isLarge = primary !== undefined && primary.virtual_size_bytes >= LARGE
  const others = instance.disks.length - (primary ? 1 : 0)
  return (
    <Notice>
      <p>
        Only the primary disk{primary && ` (${formatBytes(primary.virtual_size_bytes)})`} is captured.{' '}
        {others > 0
          ? `The other ${others === 1 ? 'disk of this instance is' : `${others} disks of this instance are`} not included.`
          : 'Additional volumes and disks are not included.'}{' '}
        {instance.power === 'off'
          ? 'The instance stays stopped meanwhile.'
          : 'The instance keeps running: there is no need to power it down.'}{' '}
        {isLarge && 'Creation can take several hours, because the disk is large.'}
      </p>
    </Notice>
  )
}
