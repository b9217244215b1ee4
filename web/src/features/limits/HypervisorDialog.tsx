import { type FormEvent, useState } from 'react'
import { useEditHypervisor } from '@/api/queries/locations'
import type { AdminHypervisor } from '@/api/types'
import { focusFirstInvalid } from '@/lib/focus'
import { asProblem, toSentence, unplaced } from '@/lib/problem'
import { FormDialog } from '@/ui/Dialog'
import { Checkbox, TextField } from '@/ui/Field'
import { parseCount } from './numbers'

export interface HypervisorDialogProps {
  hypervisor: AdminHypervisor
  onClose: () => void
}

/** Changes how much a hypervisor does at once, for waiting captures too. */
export function EditHypervisorDialog({ hypervisor, onClose }: HypervisorDialogProps) {
  const [captures, setCaptures] = useState(String(hypervisor.max_captures))
  const [limited, setLimited] = useState(hypervisor.limited_imaging_bandwidth)
  const [submitted, setSubmitted] = useState(false)
  const edit = useEditHypervisor()
  const refusal = edit.isError ? asProblem(edit.error) : null
  const typed = parseCount(captures, hypervisor.max_work)
  const said = refusal?.field('/max_captures')
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (typed.problem) return focusFirstInvalid(event.currentTarget)
    const patch = { max_captures: typed.value, limited_imaging_bandwidth: limited }
    edit.mutate({ hypervisor, patch }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title={`Edit ${hypervisor.name}`}
      onClose={onClose}
      onSubmit={submit}
      submit="Save"
      busy={edit.isPending}
      problem={unplaced(refusal)}
    >
      <TextField
        label="Captures at once"
        inputMode="numeric"
        value={captures}
        onChange={setCaptures}
        help={`1 to ${hypervisor.max_work}. Captures that run already go on; those that wait start, or wait for their turn.`}
        problem={(submitted ? typed.problem : null) ?? (said ? toSentence(said) : null)}
      />
      <Checkbox
        label="Older hardware with limited bandwidth for imaging"
        help="Failed captures then advise to migrate to a newer flavor, or to use a file-level backup tool."
        isSelected={limited}
        onChange={setLimited}
      />
    </FormDialog>
  )
}
