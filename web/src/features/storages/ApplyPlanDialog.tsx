import { useState } from 'react'
import type { ImageStorage, ReconcileReport } from '@/api/types'
import { formatCount } from '@/lib/format'
import type { Problem } from '@/lib/problem'
import { ConfirmDialog } from '@/ui/Dialog'
import { TextField } from '@/ui/Field'
import { Notice } from '@/ui/Notice'
import { ACTIONS, CLASSES, objectsText } from './objects'
import { Keys } from './ReconcileReport'
import { deletions } from './reconcile'

export interface ApplyPlanDialogProps {
  storage: ImageStorage
  plan: ReconcileReport
  busy: boolean
  problem: Problem | null
  onClose: () => void
  onConfirm: () => void
}

/**
 * Asks before a plan is applied, and names what is deleted. The storage's name has to be typed where
 * more than one object is deleted.
 */
export function ApplyPlanDialog({ storage, plan, busy, problem, onClose, onConfirm }: ApplyPlanDialogProps) {
  const [typed, setTyped] = useState('')
  const deleted = deletions(plan)
  const count = deleted.reduce((sum, entry) => sum + entry.count, 0)
  const isMany = count > 1
  const others = plan.entries.filter(({ action }) => action !== 'delete')
  return (
    <ConfirmDialog
      title={`Apply the plan to ${storage.name}?`}
      isOpen
      onClose={onClose}
      onConfirm={onConfirm}
      confirm={count > 0 ? `Apply and delete ${formatCount(count)}` : 'Apply'}
      variant={count > 0 ? 'danger' : 'primary'}
      reason={isMany && typed !== storage.name ? `Type ${storage.name} first.` : null}
      busy={busy}
      problem={problem}
    >
      {deleted.map((entry) => (
        <Notice
          key={entry.class}
          tone="bad"
          title={`Deleted, and not restored: ${objectsText(entry.count, entry.bytes)} (${CLASSES[entry.class].label.toLowerCase()})`}
        >
          <Keys entry={entry} />
        </Notice>
      ))}
      {others.map((entry) => (
        <p key={`${entry.action} ${entry.class}`}>
          <strong>
            {ACTIONS[entry.action].label}: {objectsText(entry.count, entry.bytes)} (
            {CLASSES[entry.class].label.toLowerCase()}).
          </strong>{' '}
          {ACTIONS[entry.action].detail}.
        </p>
      ))}
      {isMany && (
        <TextField
          label={`Type ${storage.name} to delete ${formatCount(count)} objects`}
          value={typed}
          onChange={setTyped}
          autoComplete="off"
        />
      )}
    </ConfirmDialog>
  )
}
