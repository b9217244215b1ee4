import { useMemo } from 'react'
import type { UsageLine, UsageSection } from '@/api/types'
import { moneyText, quantityText, totalsText } from '@/lib/figures'
import { formatBytes } from '@/lib/format'
import { Button } from '@/ui/Button'
import { ClampedText } from '@/ui/ClampedText'
import { Card, MutedText } from '@/ui/Page'
import { type Column, Table } from '@/ui/Table'
import { lineName } from './lines'
import styles from './UsageLines.module.css'

export interface UsageLinesProps {
  title: 'Images' | 'Instances'
  section: UsageSection
  onExplain: (line: UsageLine) => void
}

/** A section of a report. Each charge opens its explanation. */
export function UsageLines({ title, section, onExplain }: UsageLinesProps) {
  const columns = useMemo<Column<UsageLine>[]>(() => {
    const quantities: Column<UsageLine>[] =
      title === 'Images'
        ? [
            {
              id: 'size',
              name: 'Size',
              align: 'end',
              nowrap: true,
              cell: ({ size_bytes }) => (
                <span title={size_bytes === null ? undefined : `${size_bytes} bytes`}>
                  {formatBytes(size_bytes)}
                </span>
              ),
            },
            { id: 'hours', name: 'GB-hours', align: 'end', cell: ({ gb_hours }) => quantityText(gb_hours) },
            {
              id: 'months',
              name: 'GB-months',
              align: 'end',
              cell: ({ gb_months }) => quantityText(gb_months),
            },
          ]
        : [{ id: 'hours', name: 'Hours', align: 'end', cell: ({ hours }) => quantityText(hours) }]
    return [
      {
        id: 'name',
        name: 'Name',
        cell: (line) => (
          <>
            <ClampedText text={lineName(line)} /> {line.deleted && <MutedText>Deleted</MutedText>}
          </>
        ),
      },
      { id: 'location', name: 'Location', cell: ({ location_name }) => location_name ?? 'Deleted location' },
      ...quantities,
      {
        id: 'rate',
        name: 'Rate',
        cell: ({ rate }) => <span className={styles.rate}>{rate ?? 'No rate'}</span>,
      },
      {
        id: 'charge',
        name: 'Charge',
        align: 'end',
        nowrap: true,
        cell: (line) => (
          <Button
            variant="quiet"
            aria-label={`Explain the charge of ${lineName(line)}: ${line.charge ? moneyText(line.charge) : 'nothing'}`}
            onPress={() => onExplain(line)}
          >
            {line.charge ? moneyText(line.charge) : 'Nothing'}
          </Button>
        ),
      },
    ]
  }, [title, onExplain])
  return (
    <Card title={title} actions={<strong>{totalsText(section.totals)}</strong>}>
      {section.lines.length === 0 ? (
        <p>{title === 'Images' ? 'No images were stored.' : 'No instances were there.'}</p>
      ) : (
        <Table label={title} columns={columns} items={section.lines} />
      )}
    </Card>
  )
}
