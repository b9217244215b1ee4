import { type FormEvent, type ReactNode, useState } from 'react'
import { useReinstall } from '@/api/queries/instances'
import type { Image, Instance } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { formatBytes } from '@/lib/format'
import { asProblem, toSentence } from '@/lib/problem'
import { parseSshKeys } from '@/lib/ssh'
import { Button } from '@/ui/Button'
import { ConfirmDialog } from '@/ui/Dialog'
import { Checkbox } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'
import { ButtonRow, Card, MutedText, Stack } from '@/ui/Page'
import { AccessFields, accessOf, NO_ACCESS, NoAccess } from './AccessFields'
import { CaptureNotice, useIsCaptured } from './captured'

export interface ReinstallFormProps {
  instance: Instance
  image: Image | undefined
  /** The tabs with the images. */
  picker: ReactNode
  onDone: () => void
  onCancel: () => void
}

export function ReinstallForm({ instance, image, picker, onDone, onCancel }: ReinstallFormProps) {
  const [access, setAccess] = useState(NO_ACCESS)
  const [start, setStart] = useState(true)
  const [submitted, setSubmitted] = useState(false)
  const [isAsking, setAsking] = useState(false)
  const isCaptured = useIsCaptured(instance.id)
  const reinstall = useReinstall(instance.id)
  // An image that is not chosen yet may take them.
  const takesAccess = image?.cloud_init ?? true
  const keysError = takesAccess ? parseSshKeys(access.keys).problem : null
  const refusal = reinstall.isError ? asProblem(reinstall.error) : null
  const said = (pointer: string) => {
    const detail = refusal?.within(pointer)
    return detail ? toSentence(detail) : null
  }

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (!image || keysError) return focusFirstInvalid(event.currentTarget)
    setAsking(true)
  }
  const confirm = (chosen: Image) =>
    reinstall.mutate(
      {
        body: { ...(takesAccess ? accessOf(access) : {}), image_id: chosen.id, start },
        cancelCaptures: isCaptured,
      },
      { onSuccess: onDone, onError: () => setAsking(false) },
    )

  return (
    <form onSubmit={submit}>
      <Stack>
        <Card title="Image">
          {picker}
          {submitted && !image && (
            <ProblemNotice
              problem={{
                title: 'Choose an image',
                detail: 'the disk is written anew from an image',
                requestId: null,
              }}
            />
          )}
        </Card>
        <Card title="Access">
          {takesAccess ? (
            <AccessFields
              values={access}
              onChange={(patch) => setAccess((old) => ({ ...old, ...patch }))}
              keysProblem={(submitted ? keysError : null) ?? said('/ssh_keys') ?? said('/ssh_key_ids')}
              scriptProblem={said('/user_script_id') ?? said('/user_data')}
            />
          ) : (
            <NoAccess />
          )}
        </Card>
        <Card title="Instance">
          <MutedText>{keptOf(instance, image)}</MutedText>
          <Checkbox
            label="Start the instance after it is reinstalled"
            isSelected={start}
            onChange={setStart}
          />
        </Card>
        {refusal && <ProblemNotice problem={refusal} />}
        <ButtonRow>
          <Button type="submit" variant="danger">
            Reinstall…
          </Button>
          <Button variant="quiet" onPress={onCancel}>
            Cancel
          </Button>
        </ButtonRow>
      </Stack>
      {isAsking && image && (
        <ConfirmDialog
          title={`Reinstall ${instance.name}?`}
          isOpen
          onClose={() => setAsking(false)}
          onConfirm={() => confirm(image)}
          confirm="Reinstall"
          busy={reinstall.isPending}
          problem={null}
        >
          <p>Everything on the primary disk of {instance.name} is lost. To keep it, create an image first.</p>
          <p>
            The instance runs until the disk is written from {image.name}, and is then powered off without a
            shut-down.
          </p>
          {isCaptured && <CaptureNotice />}
        </ConfirmDialog>
      )}
    </form>
  )
}

/** What stays as it is, and how large the disk will be. */
function keptOf(instance: Instance, image: Image | undefined): string {
  const present = instance.disks.find((disk) => disk.primary)?.virtual_size_bytes ?? 0
  const size = Math.max(present, image?.virtual_size_bytes ?? 0)
  return `Name, processors, memory and network card stay as they are. The disk has ${formatBytes(size)}.`
}
