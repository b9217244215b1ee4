import { useQuery } from '@tanstack/react-query'
import { accountBudgetQuery, useSetAccountBudget } from '@/api/queries/billing'
import { asProblem } from '@/lib/problem'
import { AmountDialog } from '@/ui/AmountDialog'

export interface StopDialogProps {
  account: { id: string; name: string }
  onClose: () => void
}

/** Sets the amount at which an account cannot make images any more. */
export function StopDialog({ account, onClose }: StopDialogProps) {
  const budget = useQuery(accountBudgetQuery(account.id))
  const set = useSetAccountBudget()
  // The dialog starts with what is set: it opens once that is known.
  if (budget.isPending) return null
  return (
    <AmountDialog
      title={`Where new images of ${account.name} stop`}
      help="Capture and import are refused once a month costs this much. Existing images stay. Empty, there is no such amount."
      initial={{ amount: budget.data?.stop_amount ?? '', currency: budget.data?.currency ?? 'EUR' }}
      onSave={(body) => set.mutate({ id: account.id, body }, { onSuccess: onClose })}
      busy={set.isPending}
      refusal={set.isError ? asProblem(set.error) : null}
      onClose={onClose}
    />
  )
}
