import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { scansQuery, useReconcile } from '@/api/queries/storage-objects'
import type { ObjectAction, ObjectClass, ReconcileReport, StorageReconcile, StorageScan } from '@/api/types'
import { foundBy, lastComplete } from '@/features/storages/objects'
import { addReports, type Choices, changesOf } from '@/features/storages/reconcile'
import { asProblem, type Problem } from '@/lib/problem'

/** A plan, with the request that applies it. */
interface Plan {
  request: StorageReconcile
  report: ReconcileReport
}

/** How a step ended; `remade`: nothing was changed, and there is a new plan to look at. */
type Outcome = 'done' | 'remade' | 'refused'

export interface Reconciliation {
  choices: Choices
  choose: (name: ObjectClass, action: ObjectAction | 'none') => void
  /** What would be done. */
  plan: ReconcileReport | null
  /** What was done. */
  report: ReconcileReport | null
  /** Whether a later scan was complete, so that the plan was made again. */
  isRemade: boolean
  /** Makes the plan; again, when an earlier one left some objects for a further request. */
  makePlan: () => Promise<Outcome>
  /** Applies the plan. */
  apply: () => Promise<Outcome>
  busy: boolean
  problem: Problem | null
}

const LATER_SCAN = 'precondition_failed'

/** The steps of a reconciliation: choose, plan, apply. */
export function useReconciliation(storageId: string, scan: StorageScan | undefined): Reconciliation {
  const cache = useQueryClient()
  const [choices, setChoices] = useState<Choices>({})
  const [plan, setPlan] = useState<Plan | null>(null)
  const [report, setReport] = useState<ReconcileReport | null>(null)
  const [isRemade, setRemade] = useState(false)
  const [problem, setProblem] = useState<Problem | null>(null)
  const send = useReconcile(storageId)

  const planOf = async (of: StorageScan | undefined) => {
    const changes = of ? changesOf(foundBy(of), choices) : []
    // Without changes the server would plan what is proposed.
    if (!of || changes?.length === 0) return setPlan(null)
    const request = { scan_id: of.id, changes, dry_run: true }
    setPlan({ request, report: await send.mutateAsync(request) })
  }
  /** Plans anew from the scan that is the last one now. */
  const remake = async () => {
    setRemade(true)
    const scans = await cache.fetchQuery({ ...scansQuery(storageId), staleTime: 0 })
    await planOf(lastComplete(scans))
  }
  /** Does one step. A later scan leads to a new plan; any other refusal is shown. */
  const attempt = async (step: () => Promise<void>): Promise<Outcome> => {
    setProblem(null)
    setRemade(false)
    try {
      await step()
      return 'done'
    } catch (error) {
      if (asProblem(error).code !== LATER_SCAN) {
        setProblem(asProblem(error))
        return 'refused'
      }
      await remake().catch((again: unknown) => setProblem(asProblem(again)))
      return 'remade'
    }
  }

  return {
    choices,
    choose: (name, action) => {
      setChoices((old) => ({ ...old, [name]: action }))
      setPlan(null)
      setRemade(false)
    },
    plan: plan?.report ?? null,
    report,
    isRemade,
    makePlan: () => attempt(() => planOf(scan)),
    apply: () =>
      attempt(async () => {
        if (!plan) return
        const done = await send.mutateAsync({ ...plan.request, dry_run: false })
        setReport((before) => addReports(before, done))
        setPlan(null)
      }),
    busy: send.isPending,
    problem,
  }
}
