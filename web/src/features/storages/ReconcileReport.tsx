import type { ReconcileEntry, ReconcileReport as Report } from '@/api/types'
import { formatBytes, formatCount, NONE } from '@/lib/format'
import { toSentence } from '@/lib/problem'
import { Notice } from '@/ui/Notice'
import { MutedText } from '@/ui/Page'
import { type Column, Table } from '@/ui/Table'
import { ClassBadge } from './ClassBadge'
import { ACTIONS } from './objects'
import styles from './Reconcile.module.css'
import { firstKeys } from './reconcile'

type Row = ReconcileEntry & { id: string }

const COLUMNS: readonly Column<Row>[] = [
  { id: 'keys', name: 'Objects', cell: (entry) => <Keys entry={entry} /> },
  { id: 'action', name: 'Action', nowrap: true, cell: ({ action }) => ACTIONS[action].label },
  { id: 'class', name: 'Class', nowrap: true, cell: ({ class: name }) => <ClassBadge name={name} /> },
  { id: 'count', name: 'Number', align: 'end', cell: ({ count }) => formatCount(count) },
  { id: 'size', name: 'Size', align: 'end', cell: ({ bytes }) => (bytes === 0 ? NONE : formatBytes(bytes)) },
]

/** What is done, or would be done, by action and class. */
export function ReconcileEntries({ label, report }: { label: string; report: Report }) {
  return (
    <Table
      label={label}
      columns={COLUMNS}
      items={report.entries.map((entry) => ({ ...entry, id: `${entry.action} ${entry.class}` }))}
    />
  )
}

/** The first keys of an entry. */
export function Keys({ entry }: { entry: Pick<ReconcileEntry, 'keys' | 'count'> }) {
  const { keys, more } = firstKeys(entry)
  return (
    <ul className={styles.keys}>
      {keys.map((key) => (
        <li key={key}>
          <code>{key}</code>
        </li>
      ))}
      {more > 0 && (
        <li>
          <MutedText>and {formatCount(more)} more</MutedText>
        </li>
      )}
    </ul>
  )
}

/** The objects that are left alone, with the reasons. */
export function Refusals({ report }: { report: Report }) {
  if (report.refused_count === 0) return null
  const more = report.refused_count - report.refused.length
  return (
    <Notice
      tone="warn"
      title={
        report.refused_count === 1
          ? 'One object is left alone'
          : `${formatCount(report.refused_count)} objects are left alone`
      }
    >
      <ul className={styles.keys}>
        {report.refused.map(({ key, reason }) => (
          <li key={key}>
            <code>{key}</code>: {toSentence(reason)}
          </li>
        ))}
        {more > 0 && <li>And {formatCount(more)} more.</li>}
      </ul>
    </Notice>
  )
}
