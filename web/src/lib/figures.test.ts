import { describe, expect, test } from 'vitest'
import {
  amountProblem,
  chargeOn,
  currenciesOf,
  currencyProblem,
  monthName,
  monthOf,
  monthsUntil,
  quantityText,
  topOf,
  totalsText,
} from './figures'

describe('figures of a report', () => {
  test('amounts keep the digits of the server', () => {
    expect(totalsText([])).toBe('–')
    const totals = [
      { amount: '0.10', currency: 'EUR' },
      { amount: '7', currency: 'JPY' },
    ]
    expect(totalsText(totals)).toBe('0.10 EUR, 7 JPY')
  })

  test('quantities are shortened, and what is there is never shown as nothing', () => {
    expect(quantityText('72000.000000000')).toBe('72000')
    expect(quantityText('3.857534246')).toBe('3.857')
    expect(quantityText('0.000200000')).toBe('< 0.001')
    expect(quantityText('0.000000000')).toBe('0')
    expect(quantityText(null)).toBe('–')
  })
})

describe('months', () => {
  test('are listed backwards, over the start of a year', () => {
    expect(monthsUntil('2027-02', 4)).toEqual(['2027-02', '2027-01', '2026-12', '2026-11'])
    expect(monthOf(Date.parse('2026-11-30T23:59:59Z'))).toBe('2026-11')
    expect(monthName('2026-11')).toBe('November 2026')
  })
})

describe('the chart', () => {
  const day = (date: string, charges: { amount: string; currency: string }[]) => ({
    date,
    stored_gib: '1',
    gib_hours: '24',
    charges,
  })

  test('has one series for each currency', () => {
    const days = [
      day('2026-11-01', [{ amount: '0.25', currency: 'USD' }]),
      day('2026-11-02', [{ amount: '1.5', currency: 'EUR' }]),
    ]
    expect(currenciesOf(days)).toEqual(['EUR', 'USD'])
    expect(days.map((each) => chargeOn(each, 'EUR'))).toEqual([0, 1.5])
  })

  test('ends at a round number', () => {
    expect(topOf([])).toBe(1)
    expect(topOf([0.31, 0.02])).toBeCloseTo(0.5)
    expect(topOf([100])).toBe(100)
    expect(topOf([101])).toBe(200)
    expect(topOf([999])).toBe(1000)
  })
})

test('what is typed is checked', () => {
  expect(amountProblem('50')).toBeNull()
  expect(amountProblem('-4.20')).not.toBeNull()
  expect(amountProblem('-4.20', { negative: true })).toBeNull()
  expect(amountProblem('1,5')).not.toBeNull()
  expect(currencyProblem('EUR')).toBeNull()
  expect(currencyProblem('euro')).not.toBeNull()
})
