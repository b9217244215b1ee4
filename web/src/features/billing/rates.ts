/** Versions of rates, as the pages of billing show and make them. */
import type { Rate, RateEnd, RateTerms } from '@/api/types'
import { amountProblem, currencyProblem } from '@/lib/figures'
import { GIB } from '@/lib/format'

export interface TypedRate {
  kind: string
  currency: string
  gb_month: string
  free_gib: string
  vcpu_hour: string
  memory_gb_hour: string
  disk_gb_hour: string
  hours_per_month: string
  gb: string
  partial_hour: string
}

export const NEW_RATE: TypedRate = {
  kind: 'image_storage',
  currency: 'EUR',
  gb_month: '',
  free_gib: '0',
  vcpu_hour: '',
  memory_gb_hour: '',
  disk_gb_hour: '',
  hours_per_month: '730',
  gb: 'gib',
  partial_hour: 'pro_rata',
}

const IMAGE_PRICES = ['gb_month', 'free_gib'] as const
const INSTANCE_PRICES = ['vcpu_hour', 'memory_gb_hour', 'disk_gb_hour'] as const

/** Returns the fields with numbers that a kind of rate has. */
export const pricesOf = (kind: string): readonly (keyof TypedRate)[] =>
  kind === 'instance' ? INSTANCE_PRICES : IMAGE_PRICES

/** Says what is wrong with each field. */
export function rateProblems(typed: TypedRate): Partial<Record<keyof TypedRate, string>> {
  const checked = [
    ['currency', currencyProblem(typed.currency)] as const,
    ...pricesOf(typed.kind).map((field) => [field, amountProblem(typed[field])] as const),
  ]
  return Object.fromEntries(checked.filter(([, problem]) => problem !== null))
}

/** Returns the terms of what was typed, once nothing is wrong with it. */
export function termsOf(typed: TypedRate): RateTerms {
  const { kind, hours_per_month, gb, partial_hour } = typed
  const shared = { kind, currency: typed.currency.trim(), hours_per_month, gb, partial_hour }
  if (kind === 'instance') {
    const { vcpu_hour, memory_gb_hour, disk_gb_hour } = typed
    return { ...shared, vcpu_hour, memory_gb_hour, disk_gb_hour }
  }
  return { ...shared, gb_month: typed.gb_month, free_bytes: Math.round(Number(typed.free_gib) * GIB) }
}

/** Says in words what a version costs. */
export function rateText({ terms }: Pick<Rate, 'terms'>): string {
  const unit = terms.gb === 'gb' ? 'GB' : 'GiB'
  if (terms.kind === 'instance') {
    return [
      `${terms.vcpu_hour} per vCPU-hour`,
      `${terms.memory_gb_hour} per ${unit}-hour of memory`,
      `${terms.disk_gb_hour} per ${unit}-hour of disk, in ${terms.currency}`,
    ].join(', ')
  }
  const hours = terms.hours_per_month === 'calendar' ? 'the hours of the calendar month' : '730 hours'
  const free = terms.free_bytes ? `, ${terms.free_bytes / GIB} GiB free` : ''
  return `${terms.gb_month} ${terms.currency} per ${unit}-month of ${hours}${free}`
}

/** Says whether a version applies, applied or will apply. Versions come latest first. */
export function stateOf(rate: Rate, rates: readonly Rate[], now: number): 'Later' | 'Current' | 'Past' {
  const same = (other: Rate) =>
    other.location_id === rate.location_id &&
    other.account_id === rate.account_id &&
    other.terms.kind === rate.terms.kind
  const from = ({ effective_from }: Rate) => Date.parse(effective_from)
  if (from(rate) > now) return 'Later'
  const replaced = rates.some((other) => same(other) && from(other) <= now && from(other) > from(rate))
  return replaced ? 'Past' : 'Current'
}

/** Whether a version applies or will, so that it can be ended. */
export const canEnd = (rate: Rate, rates: readonly Rate[], now: number): boolean =>
  !rate.ends && stateOf(rate, rates, now) !== 'Past'

/** Returns what ends a version: from the next hour on, or from its start if that is still to come. */
export function endOf({ location_id, account_id, effective_from, terms }: Rate, now: number): RateEnd {
  return {
    location_id,
    kind: terms.kind,
    ...(account_id === null ? {} : { account_id }),
    ...(Date.parse(effective_from) > now ? { effective_from } : {}),
  }
}
