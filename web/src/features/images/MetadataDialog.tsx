import { type FormEvent, useState } from 'react'
import { useEditImage } from '@/api/queries/images'
import { focusFirstInvalid } from '@/lib/focus'
import { CONFIG_DRIVE, metadataPatch, parseMetadata, SSH_USER, typedMetadata, VM_MODE } from '@/lib/metadata'
import { type Problem, toSentence } from '@/lib/problem'
import { FormDialog } from '@/ui/Dialog'
import { SelectField, TextField } from '@/ui/Field'
import { Notice } from '@/ui/Notice'
import type { ImageDialogProps } from './ImageDialogs'
import { useCurrentImage } from './use-current-image'

const VM_MODES = [
  { id: '', label: 'Not set', detail: 'As the hypervisor’s settings say' },
  { id: 'virtio', label: 'virtio', detail: 'Fast; the system needs the virtio drivers' },
  { id: 'hvm', label: 'hvm', detail: 'Everything is emulated; for systems without such drivers' },
]

const CONFIG_DRIVES = [
  { id: '', label: 'Not set', detail: 'Instances get a NoCloud seed only' },
  { id: 'mandatory', label: 'mandatory', detail: 'Instances get a config drive, too' },
  { id: 'optional', label: 'optional', detail: 'A NoCloud seed is enough' },
]

/** Asks for the metadata of an image, by which a deployment starts its system. */
export function MetadataDialog({ image: opened, onClose }: ImageDialogProps) {
  const { image, isChanged, isLoading, problemOf, reloadAfter } = useCurrentImage(opened)
  const [typed, setTyped] = useState(() => typedMetadata(opened.metadata))
  const [submitted, setSubmitted] = useState(false)
  const edit = useEditImage()
  const parsed = parseMetadata(typed)
  const problem = problemOf(edit.error)
  const messageFor = (key: string) => {
    const detail = problem?.field(`/metadata/${key}`)
    return detail ? toSentence(detail) : null
  }
  const set = (change: Partial<typeof typed>) => setTyped((old) => ({ ...old, ...change }))
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if ('problem' in parsed) return focusFirstInvalid(event.currentTarget)
    const metadata = metadataPatch(image.metadata, parsed.metadata)
    edit.mutate(
      { image, patch: { metadata } },
      { onSuccess: onClose, onError: (error) => reloadAfter(error) },
    )
  }
  const linesProblem = submitted && 'problem' in parsed ? parsed.problem : otherProblem(problem)
  return (
    <FormDialog
      title="Metadata"
      onClose={onClose}
      onSubmit={submit}
      submit="Save"
      busy={edit.isPending || isLoading}
      problem={problem && problem.within('/metadata') === undefined ? problem : null}
    >
      <p>Instances that are created from the image from now on are started by it; others are not changed.</p>
      <SelectField
        label="Machine (vm_mode)"
        choices={VM_MODES}
        value={typed.vmMode}
        onChange={(vmMode) => set({ vmMode })}
        problem={messageFor(VM_MODE)}
      />
      <SelectField
        label="Config drive (img_config_drive)"
        choices={CONFIG_DRIVES}
        value={typed.configDrive}
        onChange={(configDrive) => set({ configDrive })}
        problem={messageFor(CONFIG_DRIVE)}
      />
      <TextField
        label="SSH user (ssh_user)"
        placeholder="debian"
        help="The user that gets the SSH keys."
        value={typed.sshUser}
        onChange={(sshUser) => set({ sshUser })}
        optional
        problem={messageFor(SSH_USER)}
      />
      <TextField
        label="Other keys"
        placeholder="team=web"
        help="One key=value in each line. They are kept, and no deployment acts upon them."
        value={typed.others}
        onChange={(others) => set({ others })}
        rows={3}
        mono
        optional
        problem={linesProblem}
      />
      {isChanged && (
        <Notice tone="warn" role="alert" title="The image was changed">
          <p>
            It was changed after this dialog opened, so your changes were not saved. Press Save to replace the
            new values with yours.
          </p>
        </Notice>
      )}
    </FormDialog>
  )
}

/** Returns what the server says about keys without a field of their own. */
function otherProblem(problem: Problem | null): string | null {
  const known = [VM_MODE, CONFIG_DRIVE, SSH_USER].map((key) => `/metadata/${key}`)
  const other = problem?.fields.find(
    ({ pointer }) => pointer.startsWith('/metadata') && !known.includes(pointer),
  )
  return other ? toSentence(other.detail) : null
}
