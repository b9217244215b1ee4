import { useQuery } from '@tanstack/react-query'
import { CornerLeftUp, Disc, HardDrive, Trash2 } from 'lucide-react'
import { type FormEvent, useState } from 'react'
import { isosQuery, useAttachDisk, useDetachDisk, useEjectIso, useMountIso } from '@/api/queries/isos'
import type { Instance } from '@/api/types'
import { emptyDiskProblem, parseDiskGib } from '@/lib/disk'
import { focusFirstInvalid } from '@/lib/focus'
import { formatBytes } from '@/lib/format'
import { asProblem, toSentence, unplaced } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ConfirmDialog, FormDialog } from '@/ui/Dialog'
import { Checkbox, SelectField, TextField } from '@/ui/Field'
import { RowMenu } from '@/ui/Menu'
import { ProblemNotice } from '@/ui/Notice'
import { ButtonRow, Card, MutedText } from '@/ui/Page'
import { type Column, Table } from '@/ui/Table'

type Disk = Instance['disks'][number]

const COLUMNS: Column<Disk>[] = [
  {
    id: 'disk',
    name: 'Disk',
    cell: ({ primary }) => (primary ? 'Primary disk' : 'Further disk (not in images)'),
  },
  {
    id: 'size',
    name: 'Size',
    align: 'end',
    nowrap: true,
    cell: ({ virtual_size_bytes }) => formatBytes(virtual_size_bytes),
  },
]

/** The drive and the disks of an instance, and what changes them. */
export function InstanceDevices({ instance }: { instance: Instance }) {
  const [open, setOpen] = useState<'mount' | 'attach' | null>(null)
  const [detached, setDetached] = useState<Disk | null>(null)
  const eject = useEjectIso()
  const close = () => setOpen(null)
  const isReady = instance.status === 'ready'
  const reason = !instance.changes_devices
    ? 'The hypervisor of this instance cannot change devices.'
    : isReady
      ? undefined
      : 'The instance is not ready.'
  const { iso } = instance
  return (
    <Card title="Drive and disks">
      <p>
        {iso ? `${iso.name} is in the drive.` : 'The drive is empty.'}
        {iso?.boot_from_cd && ' The instance boots from it first.'}
      </p>
      <ButtonRow>
        <Button icon={<Disc />} reason={reason} onPress={() => setOpen('mount')}>
          Mount ISO
        </Button>
        {iso && (
          <Button
            icon={<CornerLeftUp />}
            reason={reason}
            busy={eject.isPending}
            onPress={() => eject.mutate(instance.id)}
          >
            Eject
          </Button>
        )}
        <Button icon={<HardDrive />} reason={reason} onPress={() => setOpen('attach')}>
          Attach disk
        </Button>
      </ButtonRow>
      {eject.isError && <ProblemNotice problem={asProblem(eject.error)} />}
      <Table
        label="Disks"
        columns={COLUMNS}
        items={instance.disks}
        actions={(disk) => (
          <RowMenu
            label={`Actions for the disk ${disk.id}`}
            actions={[
              {
                id: 'detach',
                label: 'Detach and remove',
                icon: <Trash2 />,
                onAction: () => setDetached(disk),
                danger: true,
                ...(disk.primary ? { reason: 'The primary disk goes with the instance.' } : { reason }),
              },
            ]}
          />
        )}
      />
      {open === 'mount' && <MountIsoDialog instance={instance} onClose={close} />}
      {open === 'attach' && <AttachDiskDialog instance={instance} onClose={close} />}
      {detached && <DetachDiskDialog instance={instance} disk={detached} onClose={() => setDetached(null)} />}
    </Card>
  )
}

interface DeviceDialogProps {
  instance: Instance
  onClose: () => void
}

function MountIsoDialog({ instance, onClose }: DeviceDialogProps) {
  const isos = useQuery(isosQuery(instance.location_id))
  const [chosen, setChosen] = useState('')
  const [boot, setBoot] = useState(false)
  const mount = useMountIso()
  const choices = (isos.data ?? []).map(({ id, name }) => ({ id, label: name }))
  const isoId = chosen || (choices[0]?.id ?? '')
  const refusal = mount.isError ? asProblem(mount.error) : null
  const fromServer = refusal?.field('/iso_id')
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    if (!isoId) return focusFirstInvalid(event.currentTarget)
    mount.mutate({ id: instance.id, isoId, boot }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Mount an ISO on ${instance.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Mount"
      busy={mount.isPending}
      problem={unplaced(refusal)}
    >
      {isos.isError && <ProblemNotice problem={asProblem(isos.error)} />}
      {isos.data?.length === 0 && <MutedText>The provider offers no ISOs in this location.</MutedText>}
      <SelectField
        label="ISO"
        choices={choices}
        value={isoId}
        onChange={setChosen}
        problem={fromServer ? toSentence(fromServer) : null}
      />
      <Checkbox
        label="Boot from it first"
        help="At the next start, and at each one after it until the ISO is ejected."
        isSelected={boot}
        onChange={setBoot}
      />
    </FormDialog>
  )
}

function AttachDiskDialog({ instance, onClose }: DeviceDialogProps) {
  const [size, setSize] = useState('')
  const [submitted, setSubmitted] = useState(false)
  const attach = useAttachDisk()
  const refusal = attach.isError ? asProblem(attach.error) : null
  const bytes = parseDiskGib(size)
  const fromServer = refusal?.field('/size_bytes')
  const problem = (submitted ? emptyDiskProblem(size) : null) ?? (fromServer ? toSentence(fromServer) : null)
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (!bytes) return focusFirstInvalid(event.currentTarget)
    attach.mutate({ id: instance.id, bytes }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Attach a disk to ${instance.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Attach"
      busy={attach.isPending}
      problem={unplaced(refusal)}
    >
      <p>The disk is empty. Images of the instance do not contain it, and it is removed with the instance.</p>
      <TextField
        label="Size, GiB"
        inputMode="decimal"
        autoFocus
        placeholder="20"
        value={size}
        onChange={setSize}
        problem={problem}
      />
    </FormDialog>
  )
}

function DetachDiskDialog({ instance, disk, onClose }: DeviceDialogProps & { disk: Disk }) {
  const detach = useDetachDisk()
  return (
    <ConfirmDialog
      title="Detach and remove the disk?"
      isOpen
      onClose={onClose}
      onConfirm={() => detach.mutate({ id: instance.id, diskId: disk.id }, { onSuccess: onClose })}
      confirm="Detach and remove"
      busy={detach.isPending}
      problem={detach.isError ? asProblem(detach.error) : null}
    >
      <p>
        The disk of {formatBytes(disk.virtual_size_bytes)} is removed with everything on it. Unmount it in the
        guest first.
      </p>
    </ConfirmDialog>
  )
}
