import { type FormEvent, useState } from 'react'
import { amountProblem, currencyProblem } from '@/lib/figures'
import { focusFirstInvalid } from '@/lib/focus'
import { type Problem, toSentence, unplaced } from '@/lib/problem'
import { FormDialog } from './Dialog'
import { TextField } from './Field'

export interface AmountDialogProps {
  title: string
  help: string
  initial: { amount: string; currency: string }
  /** Gets the amount, or none of it where the field is empty. */
  onSave: (typed: { currency: string; amount?: string }) => void
  busy: boolean
  refusal: Problem | null
  onClose: () => void
}

/** Asks for an amount of a month and its currency. */
export function AmountDialog(props: AmountDialogProps) {
  const { title, help, initial, onSave, busy, refusal, onClose } = props
  const [amount, setAmount] = useState(initial.amount)
  const [currency, setCurrency] = useState(initial.currency)
  const [submitted, setSubmitted] = useState(false)
  const typed = amount.trim()
  const problems = {
    amount: typed === '' ? null : amountProblem(typed),
    currency: currencyProblem(currency),
  }
  const said = (field: keyof typeof problems) => {
    const text = refusal?.field(`/${field}`)
    return (submitted ? problems[field] : null) ?? (text ? toSentence(text) : null)
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (problems.amount || problems.currency) return focusFirstInvalid(event.currentTarget)
    onSave({ currency: currency.trim(), ...(typed === '' ? {} : { amount: typed }) })
  }
  return (
    <FormDialog
      title={title}
      onClose={onClose}
      onSubmit={submit}
      submit="Save"
      busy={busy}
      problem={unplaced(refusal)}
    >
      <TextField
        label="Amount of a month"
        inputMode="decimal"
        autoFocus
        value={amount}
        onChange={setAmount}
        help={help}
        problem={said('amount')}
      />
      <TextField label="Currency" value={currency} onChange={setCurrency} problem={said('currency')} />
    </FormDialog>
  )
}
