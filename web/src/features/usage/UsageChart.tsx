import { type KeyboardEvent, useRef, useState } from 'react'
import type { UsageDay } from '@/api/types'
import { chargeOn, quantityText, topOf, totalsText } from '@/lib/figures'
import { Disclosure } from '@/ui/Disclosure'
import { MutedText } from '@/ui/Page'
import { type Column, Table } from '@/ui/Table'
import styles from './UsageChart.module.css'

export interface UsageChartProps {
  label: string
  unit: string
  days: readonly UsageDay[]
  heightOf: (day: UsageDay) => number
  textOf: (day: UsageDay) => string
}

/**
 * Bars of the days of a period. One bar at a time takes the focus, the arrow keys go to the next
 * one, and each says its day and its value.
 */
export function UsageChart({ label, unit, days, heightOf, textOf }: UsageChartProps) {
  const [current, setCurrent] = useState(0)
  const top = topOf(days.map(heightOf))
  const bars = useRef<HTMLDivElement>(null)
  const last = days.length - 1
  const move = (event: KeyboardEvent) => {
    const target = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: last }[event.key]
    if (target === undefined) return
    event.preventDefault()
    const next = Math.min(Math.max(target, 0), last)
    setCurrent(next)
    bars.current?.querySelectorAll('button')[next]?.focus()
  }
  return (
    <figure className={styles.chart}>
      <figcaption>
        {label}{' '}
        <MutedText>
          up to {top} {unit}
        </MutedText>
      </figcaption>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for fields of a form */}
      <div ref={bars} role="group" aria-label={label} className={styles.bars}>
        {days.map((day, index) => (
          <button
            key={day.date}
            type="button"
            aria-label={`${day.date}: ${textOf(day)}`}
            title={`${day.date}: ${textOf(day)}`}
            tabIndex={index === Math.min(current, last) ? 0 : -1}
            onFocus={() => setCurrent(index)}
            onKeyDown={move}
          >
            <span style={{ height: `${Math.max((Math.max(heightOf(day), 0) / top) * 100, 1)}%` }} />
          </button>
        ))}
      </div>
      <div className={styles.axis} aria-hidden="true">
        <span>{days[0]?.date}</span>
        <span>{days.at(-1)?.date}</span>
      </div>
    </figure>
  )
}

interface DayRow extends UsageDay {
  id: string
}

const COLUMNS: Column<DayRow>[] = [
  { id: 'date', name: 'Day', nowrap: true, cell: ({ date }) => date },
  { id: 'stored', name: 'GiB on average', align: 'end', cell: ({ stored_gib }) => quantityText(stored_gib) },
  { id: 'hours', name: 'GiB-hours', align: 'end', cell: ({ gib_hours }) => quantityText(gib_hours) },
  { id: 'cost', name: 'Cost, not rounded', align: 'end', cell: ({ charges }) => totalsText(charges) },
]

/** The charts of a period, and the same figures as a table. */
export function UsageCharts({ days, currencies }: { days: readonly UsageDay[]; currencies: string[] }) {
  return (
    <>
      <UsageChart
        label="Stored each day"
        unit="GiB"
        days={days}
        heightOf={({ stored_gib }) => Number(stored_gib)}
        textOf={({ stored_gib }) => `${quantityText(stored_gib)} GiB`}
      />
      {currencies.map((currency) => (
        <UsageChart
          key={currency}
          label={`Cost of each day in ${currency}`}
          unit={currency}
          days={days}
          heightOf={(day) => chargeOn(day, currency)}
          textOf={(day) => `${chargeOn(day, currency)} ${currency}`}
        />
      ))}
      <Disclosure title="The days as a table">
        <Table label="Days" columns={COLUMNS} items={days.map((day) => ({ ...day, id: day.date }))} />
      </Disclosure>
    </>
  )
}
