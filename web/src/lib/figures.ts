/** Amounts, quantities and months, as the pages of usage and billing show them. */
import { NONE } from './format'

interface Money {
  amount: string
  currency: string
}

interface Charged {
  charges: readonly Money[]
}

/** Writes an amount with its currency, such as `12.34 EUR`. The server's digits stay as they are. */
export const moneyText = ({ amount, currency }: Money): string => `${amount} ${currency}`

/** Writes sums, one of each currency. */
export const totalsText = (totals: readonly Money[]): string =>
  totals.length === 0 ? NONE : totals.map(moneyText).join(', ')

/** Shortens a decimal text to some places, without rounding it up to more than there is. */
export function quantityText(value: string | null, places = 3): string {
  if (value === null) return NONE
  const [whole = '', fraction = ''] = value.split('.')
  const kept = fraction.slice(0, places).replace(/0+$/, '')
  if (kept === '' && /^-?0*$/.test(whole) && /[1-9]/.test(fraction)) {
    return `< 0.${'0'.repeat(places - 1)}1`
  }
  return kept === '' ? whole : `${whole}.${kept}`
}

/** The months that can be picked. */
const PICKED_MONTHS = 24

const MONTH = new Intl.DateTimeFormat('en', { month: 'long', year: 'numeric', timeZone: 'UTC' })

/** Writes `2026-11` as `November 2026`. */
export function monthName(month: string): string {
  const time = Date.parse(`${month}-01T00:00:00Z`)
  return Number.isNaN(time) ? month : MONTH.format(time)
}

/** Returns the month of an instant, in universal time. */
export const monthOf = (now: number): string => new Date(now).toISOString().slice(0, 7)

/**
 * Returns the months that can be picked, the latest first. Which month it is the server knows, in the
 * time zone of billing; the browser's clock is only asked until it has answered.
 */
export const monthsToPick = (known: string | null | undefined, now: number): string[] => {
  const here = monthOf(now)
  return monthsUntil(known && known > here ? known : here, PICKED_MONTHS)
}

/** Returns a month and those before it, the latest first. */
export function monthsUntil(month: string, count: number): string[] {
  const [year = 1970, number = 1] = month.split('-').map(Number)
  return Array.from({ length: count }, (_, back) =>
    new Date(Date.UTC(year, number - 1 - back, 1)).toISOString().slice(0, 7),
  )
}

/** Returns the currencies of some days, in the order of their codes. */
export const currenciesOf = (days: readonly Charged[]): string[] =>
  [...new Set(days.flatMap(({ charges }) => charges.map(({ currency }) => currency)))].sort()

/** Returns what a day costs in a currency. */
export const chargeOn = (day: Charged, currency: string): number =>
  Number(day.charges.find((charge) => charge.currency === currency)?.amount ?? 0)

/** Returns a round number that is not below any of the values, for the top of an axis. */
export function topOf(values: readonly number[]): number {
  const most = Math.max(0, ...values)
  if (most === 0) return 1
  const scale = 10 ** Math.floor(Math.log10(most))
  const step = [1, 2, 5, 10].find((candidate) => candidate * scale >= most) ?? 10
  return step * scale
}

/** Says what is wrong with an amount, if anything is. */
export function amountProblem(typed: string, { negative = false } = {}): string | null {
  const pattern = negative ? /^-?\d+(\.\d+)?$/ : /^\d+(\.\d+)?$/
  return pattern.test(typed.trim()) ? null : 'Enter a decimal number, such as 50.00.'
}

/** Says what is wrong with the code of a currency, if anything is. */
export const currencyProblem = (typed: string): string | null =>
  /^[A-Z]{3}$/.test(typed.trim()) ? null : 'Enter a code of three capital letters, such as EUR.'
