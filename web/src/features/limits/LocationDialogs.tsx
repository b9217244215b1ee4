import { type FormEvent, useState } from 'react'
import { useDeleteLocation, useEditLocation } from '@/api/queries/locations'
import type { AdminLocation } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { asProblem, unplaced } from '@/lib/problem'
import { ConfirmDialog, FormDialog } from '@/ui/Dialog'
import { Checkbox, SelectField, TextField } from '@/ui/Field'
import { MutedText } from '@/ui/Page'
import { ImportFields, parsedImports, typedImports } from './ImportFields'
import { LimitFields, parsedLimits, typedLimits } from './LimitFields'
import { parseCount } from './numbers'
import { SupportFields, supportPatch, typedSupport } from './SupportFields'
import { parsedWindows, typedWindows, WindowsFields } from './WindowsFields'

/** The longest wait for space that a guest gives back, in seconds. */
const LONGEST_RECLAIM = 3600
const FORMATS = ['qcow2', 'raw', 'vhd'].map((id) => ({ id, label: id }))

export interface LocationDialogProps {
  location: AdminLocation
  onClose: () => void
}

/** Changes the switches and the limits of a location. They hold from the next request on. */
export function EditLocationDialog({ location, onClose }: LocationDialogProps) {
  const [enabled, setEnabled] = useState(location.images_enabled)
  const [sharing, setSharing] = useState(location.sharing_enabled)
  const [isos, setIsos] = useState(location.iso_enabled)
  const [imports, setImports] = useState(typedImports(location))
  const [exporting, setExporting] = useState(location.export_enabled)
  const [merged, setMerged] = useState(location.coalesce_before_capture)
  const [limits, setLimits] = useState(
    typedLimits(location.default_image_limit, location.default_image_bytes_limit),
  )
  const [format, setFormat] = useState<string>(location.capture_format)
  const [reclaim, setReclaim] = useState(String(location.reclaim_limit_s))
  const [disks, setDisks] = useState(typedWindows(location))
  const [support, setSupport] = useState(typedSupport(location))
  const [submitted, setSubmitted] = useState(false)
  const edit = useEditLocation()
  const refusal = edit.isError ? asProblem(edit.error) : null
  const seconds = parseCount(reclaim, LONGEST_RECLAIM, 0)
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    const parsed = parsedLimits(limits)
    const windows = parsedWindows(disks)
    const imported = parsedImports(imports)
    if (!parsed || !windows || !imported || seconds.problem) return focusFirstInvalid(event.currentTarget)
    const patch = {
      images_enabled: enabled,
      sharing_enabled: sharing,
      iso_enabled: isos,
      ...imported,
      export_enabled: exporting,
      coalesce_before_capture: merged,
      default_image_limit: parsed.images,
      default_image_bytes_limit: parsed.bytes,
      capture_format: format as AdminLocation['capture_format'],
      reclaim_limit_s: seconds.value,
      windows_limit_bytes: windows.limit,
      windows_warning_bytes: windows.warning,
      ...supportPatch(support),
    }
    edit.mutate({ location, patch }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Edit ${location.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Save"
      busy={edit.isPending}
      problem={unplaced(refusal)}
    >
      <Checkbox
        label="Customers create images of instances"
        help="Without it existing images stay, and can be deployed and deleted."
        isSelected={enabled}
        onChange={setEnabled}
      />
      <Checkbox
        label="Customers share images with other accounts"
        help="Without it nothing is offered, accepted or deployed by a share. Existing shares stay."
        isSelected={sharing}
        onChange={setSharing}
      />
      <Checkbox
        label="Customers mount ISOs on their instances"
        help="Without it nothing is mounted. What is mounted stays."
        isSelected={isos}
        onChange={setIsos}
      />
      <ImportFields
        values={imports}
        onChange={(patch) => setImports((old) => ({ ...old, ...patch }))}
        submitted={submitted}
      />
      <Checkbox
        label="Customers export their images"
        help="Without it no export is made. Those that there are can be downloaded until their time is over."
        isSelected={exporting}
        onChange={setExporting}
      />
      <Checkbox
        label="Merge the layers of a disk before its image is created"
        help="Only of stopped instances. The next image is then faster."
        isSelected={merged}
        onChange={setMerged}
      />
      <LimitFields
        values={limits}
        onChange={(patch) => setLimits((old) => ({ ...old, ...patch }))}
        submitted={submitted}
        refusal={refusal}
        pointers={{ images: '/default_image_limit', bytes: '/default_image_bytes_limit' }}
        without="no limit"
      />
      <MutedText>The limits of each account here, unless it has its own.</MutedText>
      <SelectField
        label="Format of images of instances"
        choices={FORMATS}
        value={format}
        onChange={setFormat}
        help="A request may name another one."
      />
      <TextField
        label="Wait for reclaimed space, seconds"
        inputMode="numeric"
        value={reclaim}
        onChange={setReclaim}
        help="Running guests give back unused space before their image is created. 0 does not ask them."
        problem={submitted ? seconds.problem : null}
      />
      <WindowsFields
        values={disks}
        onChange={(patch) => setDisks((old) => ({ ...old, ...patch }))}
        submitted={submitted}
      />
      <SupportFields
        values={support}
        onChange={(patch) => setSupport((old) => ({ ...old, ...patch }))}
        refusal={refusal}
      />
    </FormDialog>
  )
}

export function DeleteLocationDialog({ location, onClose }: LocationDialogProps) {
  const remove = useDeleteLocation()
  return (
    <ConfirmDialog
      title={`Delete ${location.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={() => remove.mutate(location, { onSuccess: onClose })}
      confirm="Delete"
      busy={remove.isPending}
      problem={remove.isError ? asProblem(remove.error) : null}
    >
      <p>Only a location without hypervisors, instances and images can be deleted.</p>
    </ConfirmDialog>
  )
}
