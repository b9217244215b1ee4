import { useQuery } from '@tanstack/react-query'
import { type FormEvent, useState } from 'react'
import { useAccounts } from '@/api/queries/accounts'
import { monthsQuery, useAddRate, usePreviewRate } from '@/api/queries/billing'
import { adminLocationsQuery } from '@/api/queries/locations'
import type { BillingMonth } from '@/api/types'
import { monthName, totalsText } from '@/lib/figures'
import { focusFirstInvalid } from '@/lib/focus'
import { asProblem, toSentence, unplaced } from '@/lib/problem'
import { formatInstant } from '@/lib/time'
import { Button } from '@/ui/Button'
import { FormDialog } from '@/ui/Dialog'
import { SelectField, TextField } from '@/ui/Field'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { MutedText } from '@/ui/Page'
import { NEW_RATE, pricesOf, rateProblems, type TypedRate, termsOf } from './rates'

const ALL = 'all'
const NEXT_HOUR = 'next-hour'
const HOUR_MS = 3_600_000
const KINDS = [
  { id: 'image_storage', label: 'Images' },
  { id: 'instance', label: 'Instances' },
]
const HOURS = [
  { id: '730', label: '730 hours' },
  { id: 'calendar', label: 'The hours of the calendar month' },
]
const GBS = [
  { id: 'gib', label: 'GiB, 2^30 bytes' },
  { id: 'gb', label: 'GB, 10^9 bytes' },
]
const PARTIAL = [
  { id: 'pro_rata', label: 'Until the deletion' },
  { id: 'round_up', label: 'As a whole hour' },
]
const LABELS: Partial<Record<keyof TypedRate, string>> = {
  gb_month: 'Price of a GB-month',
  free_gib: 'Free GiB of each account',
  vcpu_hour: 'Price of a vCPU for an hour',
  memory_gb_hour: 'Price of a GB of memory for an hour',
  disk_gb_hour: 'Price of a GB of disk for an hour',
}

/** Where a rate can start: the next hour, or with the next month of the time zone of billing. */
function startsOf(current: BillingMonth | undefined) {
  const next = { id: NEXT_HOUR, label: 'The next hour' }
  if (!current) return [next]
  const hour = new Date(Math.ceil(Date.parse(current.to) / HOUR_MS) * HOUR_MS).toISOString()
  return [next, { id: hour, label: `The next month: ${formatInstant(hour)}` }]
}

function whyNoPreview(isValid: boolean, month: string | undefined): string | null {
  if (!isValid) return 'Fill in the prices first.'
  return month === undefined ? 'Nothing has been used yet.' : null
}

/** Adds a version of a rate, and says before what it would have cost in a month. */
export function RateDialog({ month, onClose }: { month: string | undefined; onClose: () => void }) {
  const locations = useQuery(adminLocationsQuery)
  const accounts = useAccounts()
  const [typed, setTyped] = useState(NEW_RATE)
  const [location, setLocation] = useState('')
  const [account, setAccount] = useState(ALL)
  const [from, setFrom] = useState(NEXT_HOUR)
  const months = useQuery(monthsQuery)
  const current = months.data?.[0]
  const compared = month ?? current?.month
  const [submitted, setSubmitted] = useState(false)
  const add = useAddRate()
  const preview = usePreviewRate()
  const set = (patch: Partial<TypedRate>) => setTyped((old) => ({ ...old, ...patch }))
  const refusal = add.isError ? asProblem(add.error) : null
  const problems = rateProblems(typed)
  const locationId = location || locations.data?.[0]?.id
  const isValid = Object.keys(problems).length === 0 && locationId !== undefined
  const target = () => ({
    location_id: locationId ?? '',
    ...(account === ALL ? {} : { account_id: account }),
    terms: termsOf(typed),
  })
  const said = (field: keyof TypedRate) => {
    const text = refusal?.field(`/terms/${field}`)
    return (submitted ? problems[field] : null) ?? (text ? toSentence(text) : null)
  }
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    setSubmitted(true)
    if (!isValid) return focusFirstInvalid(event.currentTarget)
    const later = from === NEXT_HOUR ? {} : { effective_from: from }
    add.mutate({ ...target(), ...later }, { onSuccess: onClose })
  }
  return (
    <FormDialog
      title="Add a version of a rate"
      onClose={onClose}
      onSubmit={submit}
      submit="Add Version"
      busy={add.isPending}
      problem={unplaced(refusal)}
    >
      <MutedText>Hours that have started keep their rate.</MutedText>
      <SelectField label="For" choices={KINDS} value={typed.kind} onChange={(kind) => set({ kind })} />
      <SelectField
        label="Location"
        choices={(locations.data ?? []).map(({ id, name }) => ({ id, label: name }))}
        value={locationId ?? ''}
        onChange={setLocation}
      />
      <SelectField
        label="Account"
        choices={[
          { id: ALL, label: 'All accounts' },
          ...(accounts.data ?? []).map(({ id, name }) => ({ id, label: name })),
        ]}
        value={account}
        onChange={setAccount}
        help="A rate of one account wins over that of the location."
      />
      <SelectField label="From" choices={startsOf(current)} value={from} onChange={setFrom} />
      <TextField
        label="Currency"
        value={typed.currency}
        onChange={(currency) => set({ currency })}
        problem={said('currency')}
      />
      {pricesOf(typed.kind).map((field) => (
        <TextField
          key={field}
          label={LABELS[field] ?? field}
          inputMode="decimal"
          value={typed[field]}
          onChange={(value) => set({ [field]: value })}
          problem={said(field)}
        />
      ))}
      {typed.kind === 'image_storage' && (
        <SelectField
          label="Hours per month"
          choices={HOURS}
          value={typed.hours_per_month}
          onChange={(hours_per_month) => set({ hours_per_month })}
        />
      )}
      <SelectField label="A GB is" choices={GBS} value={typed.gb} onChange={(gb) => set({ gb })} />
      <SelectField
        label="The hour of a deletion counts"
        choices={PARTIAL}
        value={typed.partial_hour}
        onChange={(partial_hour) => set({ partial_hour })}
      />
      <div>
        <Button
          busy={preview.isPending}
          reason={whyNoPreview(isValid, compared)}
          onPress={() => preview.mutate({ month: compared ?? '', ...target() })}
        >
          What would it have cost?
        </Button>
      </div>
      {preview.isError && <ProblemNotice problem={asProblem(preview.error)} />}
      {preview.data && (
        <Notice title={`${monthName(preview.data.month)}, ${preview.data.time_zone}`}>
          <p>
            It would have cost {totalsText(preview.data.would_be)}. It did cost{' '}
            {totalsText(preview.data.charged)}.
          </p>
          <ul>
            {preview.data.accounts.slice(0, 10).map((each) => (
              <li key={each.account_id}>
                {each.name}: {totalsText(each.would_be)} instead of {totalsText(each.charged)}
              </li>
            ))}
          </ul>
        </Notice>
      )}
    </FormDialog>
  )
}
