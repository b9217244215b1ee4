/** The API's types of usage and billing. Amounts and quantities are decimal texts. */

export interface Money {
  amount: string
  currency: string
}

export interface UsageLine {
  id: string
  kind: string
  subject_id: string | null
  name: string
  deleted: boolean
  location_id: string
  location_name: string | null
  month: string
  size_bytes: number | null
  gb_hours: string | null
  gb_months: string | null
  hours: string | null
  rate: string | null
  rate_id: string | null
  charge: Money | null
}

export interface UsageSection {
  lines: UsageLine[]
  totals: Money[]
}

export interface UsageAdjustment {
  id: string
  reason: string
  corrects: string
  charged_in: string
  charge: Money
  created_at: string
}

export interface UsageReport {
  account_id: string
  account_name: string
  month: string | null
  from: string
  to: string
  time_zone: string
  generated_at: string
  closed_at: string | null
  rounding: string
  images: UsageSection
  instances: UsageSection
  adjustments: UsageAdjustment[]
  totals: Money[]
  estimate: { so_far: Money[]; forecast: Money[] } | null
}

export interface UsageDay {
  date: string
  stored_gib: string
  gib_hours: string
  charges: Money[]
}

export interface UsageDays {
  time_zone: string
  items: UsageDay[]
}

export interface UsageTerm {
  from: string
  to: string
  milliseconds: number
  bytes: number | null
  gb_hours: string | null
  formula: string
}

export interface UsageExplanation {
  line: UsageLine
  terms: UsageTerm[]
  hours_per_month: string | null
  formula: string | null
  exact: string | null
  rounding: string
  time_zone: string
}

export interface Budget {
  account_id: string
  currency: string | null
  notify_amount: string | null
  stop_amount: string | null
  month: string | null
  spent: string | null
  stopped: boolean
}

export interface BudgetUpdate {
  currency: string
  amount?: string
}

export interface RateTerms {
  kind: string
  currency: string
  gb_month?: string | null
  vcpu_hour?: string | null
  memory_gb_hour?: string | null
  disk_gb_hour?: string | null
  free_bytes?: number
  hours_per_month?: string
  gb?: string
  partial_hour?: string
}

export interface Rate {
  id: string
  location_id: string
  account_id: string | null
  effective_from: string
  terms: RateTerms
  created_at: string
}

export interface RateCreate {
  location_id: string
  account_id?: string
  effective_from?: string
  terms: RateTerms
}

export interface RatePreview {
  month: string
  time_zone: string
  charged: Money[]
  would_be: Money[]
  accounts: { account_id: string; name: string; charged: Money[]; would_be: Money[] }[]
}

export interface BillingUsage {
  month: string
  time_zone: string
  generated_at: string
  totals: Money[]
  accounts: { account_id: string; name: string; gib_hours: string; totals: Money[] }[]
  locations: { location_id: string; name: string | null; gib_hours: string; totals: Money[] }[]
}

export interface BillingMonth {
  month: string
  time_zone: string
  from: string
  to: string
  closed_at: string | null
  closed_by: string | null
}

export interface Adjustment extends UsageAdjustment {
  account_id: string
  created_by: string
}

export interface AdjustmentCreate {
  account_id: string
  corrects: string
  currency: string
  amount: string
  reason: string
}

export interface Reconciliation {
  month: string
  at: string
  hours: number
  lines: number
  differences: number
  items: { kind: string; account_id: string; about: string; expected: string | null; found: string | null }[]
}
