import { type FormEvent, useState } from 'react'
import { useOfferImage, useShareAction } from '@/api/queries/shares'
import type { Image, Share } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { nameProblem } from '@/lib/name'
import { asProblem, toSentence, unplaced } from '@/lib/problem'
import { ConfirmDialog, FormDialog } from '@/ui/Dialog'
import { SelectField, TextField } from '@/ui/Field'
import { MutedText } from '@/ui/Page'
import { ENDS, endOf } from './states'

const END_CHOICES = ENDS.map(({ id, label }) => ({ id, label }))

/** Offers an image to another account. */
export function OfferDialog({ image, onClose }: { image: Image; onClose: () => void }) {
  const [account, setAccount] = useState('')
  const [end, setEnd] = useState<string>(ENDS[0].id)
  const [submitted, setSubmitted] = useState(false)
  const offer = useOfferImage()
  const refusal = offer.isError ? asProblem(offer.error) : null
  const accountError = nameProblem(account)
  const said = refusal?.field('/account')
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (accountError) return focusFirstInvalid(event.currentTarget)
    const expires_at = endOf(end, Date.now())
    const body = { account: account.trim(), ...(expires_at ? { expires_at } : {}) }
    offer.mutate({ imageId: image.id, body }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Share ${image.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Share"
      busy={offer.isPending}
      problem={said ? null : unplaced(refusal)}
    >
      <TextField
        label="Account"
        help="The exact name of the account. It has to accept the offer."
        value={account}
        onChange={setAccount}
        autoFocus
        problem={(submitted ? accountError : null) ?? (said ? toSentence(said) : null)}
      />
      <SelectField label="Ends" choices={END_CHOICES} value={end} onChange={setEnd} />
      <MutedText>
        The account can create instances from the image in its location. It cannot change, delete or pass on
        the image. The image stays yours, and you pay for it.
      </MutedText>
    </FormDialog>
  )
}

export function RevokeDialog({ share, onClose }: { share: Share; onClose: () => void }) {
  const act = useShareAction()
  return (
    <ConfirmDialog
      title={`Stop sharing with ${share.recipient}?`}
      isOpen
      onClose={onClose}
      onConfirm={() => act.mutate({ id: share.id, action: 'revoke' }, { onSuccess: onClose })}
      confirm="Stop sharing"
      busy={act.isPending}
      problem={act.isError ? asProblem(act.error) : null}
    >
      <p>
        {share.recipient} can create no more instances from {share.image.name}.
      </p>
      <p>Instances that were created before are not affected.</p>
    </ConfirmDialog>
  )
}

export interface LeaveDialogProps {
  share: { id: string; owner: string; name: string }
  onClose: () => void
  onLeft?: () => void
}

export function LeaveDialog({ share, onClose, onLeft }: LeaveDialogProps) {
  const act = useShareAction()
  const confirm = () =>
    // Not a callback of `mutate`: the page is gone when the event is faster.
    act.mutateAsync({ id: share.id, action: 'leave' }).then(
      () => {
        onClose()
        onLeft?.()
      },
      () => undefined,
    )
  return (
    <ConfirmDialog
      title={`Give up ${share.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={confirm}
      confirm="Give up"
      busy={act.isPending}
      problem={act.isError ? asProblem(act.error) : null}
    >
      <p>You can create no more instances from it unless {share.owner} offers it again.</p>
      <p>Your instances are not affected.</p>
    </ConfirmDialog>
  )
}
