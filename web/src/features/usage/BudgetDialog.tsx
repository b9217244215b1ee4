import { useSetBudget } from '@/api/queries/billing'
import type { Budget } from '@/api/types'
import { asProblem } from '@/lib/problem'
import { AmountDialog } from '@/ui/AmountDialog'

export interface BudgetDialogProps {
  budget: Budget
  currency: string
  onClose: () => void
}

/** Sets the amount at which the account is notified. */
export function BudgetDialog({ budget, currency, onClose }: BudgetDialogProps) {
  const set = useSetBudget()
  return (
    <AmountDialog
      title="Budget of a month"
      help="You are notified once a month costs this much. Nothing stops. Leave it empty for no notice."
      initial={{ amount: budget.notify_amount ?? '', currency: budget.currency ?? currency }}
      onSave={(typed) => set.mutate(typed, { onSuccess: onClose })}
      busy={set.isPending}
      refusal={set.isError ? asProblem(set.error) : null}
      onClose={onClose}
    />
  )
}
