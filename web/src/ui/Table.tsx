import { ArrowDown, ArrowUp } from 'lucide-react'
import type { ReactNode } from 'react'
import { Button } from './Button'
import { SelectBox } from './Filter'
import styles from './Table.module.css'

export interface Column<T> {
  id: string
  name: string
  cell: (item: T) => ReactNode
  /** Aligns numbers to the right. */
  align?: 'end'
  /** Keeps short values on one line. */
  nowrap?: boolean
  /** What ascending and descending order are called, if the server can sort by this column. */
  sort?: { ascending: string; descending: string }
}

export interface TableProps<T extends { id: string }> {
  label: string
  columns: readonly Column<T>[]
  items: readonly T[]
  /** The sort order in the API's spelling: `name` or `-name`. */
  sort?: string
  onSort?: (sort: string) => void
  /** Renders the menu of a row. */
  actions?: (item: T) => ReactNode
  more?: { load: () => void; busy: boolean } | null
}

/**
 * A table on wide screens, a list of cards on narrow ones. Roles are explicit because some browsers
 * drop them when `display` changes.
 */
export function Table<T extends { id: string }>(props: TableProps<T>) {
  const { label, columns, items, sort, onSort, actions, more } = props
  return (
    <div className={styles.frame}>
      {sort && onSort && <SortBox columns={columns} sort={sort} onSort={onSort} />}
      {/* biome-ignore-start lint/a11y/noRedundantRoles: see above */}
      <table className={styles.table} role="table" aria-label={label}>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <HeaderCell key={column.id} column={column} sort={sort} onSort={onSort} />
            ))}
            {actions && (
              <th role="columnheader" scope="col" className={styles.menu}>
                <span className="visually-hidden">Actions</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {items.map((item) => (
            <tr key={item.id} role="row">
              {columns.map((column) => (
                <td
                  key={column.id}
                  role="cell"
                  data-name={column.name}
                  className={column.align ? styles.end : column.nowrap ? styles.nowrap : undefined}
                >
                  {column.cell(item)}
                </td>
              ))}
              {actions && (
                <td role="cell" className={styles.menu}>
                  {actions(item)}
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
      {/* biome-ignore-end lint/a11y/noRedundantRoles: see above */}
      {more && (
        <div className={styles.more}>
          <Button variant="quiet" busy={more.busy} onPress={more.load}>
            Show more
          </Button>
        </div>
      )}
    </div>
  )
}

interface SortBoxProps<T> {
  columns: readonly Column<T>[]
  sort: string
  onSort: (sort: string) => void
}

/**
 * Sorts the list of cards that replaces the table, and with it the buttons in its head, on narrow
 * screens.
 */
function SortBox<T>({ columns, sort, onSort }: SortBoxProps<T>) {
  const choices = columns.flatMap(({ id, sort: names }) =>
    names
      ? [
          { id, label: names.ascending },
          { id: `-${id}`, label: names.descending },
        ]
      : [],
  )
  return (
    <div className={styles.sortBox}>
      <SelectBox label="Sort" choices={choices} value={sort} onChange={(id) => id && onSort(id)} />
    </div>
  )
}

interface HeaderCellProps<T> {
  column: Column<T>
  sort: string | undefined
  onSort: ((sort: string) => void) | undefined
}

function HeaderCell<T>({ column, sort, onSort }: HeaderCellProps<T>) {
  const direction = sort === column.id ? 'ascending' : sort === `-${column.id}` ? 'descending' : 'none'
  const className = column.align && styles.end
  if (!column.sort || !onSort) {
    return (
      // biome-ignore lint/a11y/noRedundantRoles: some browsers drop it with `display`
      <th role="columnheader" scope="col" className={className}>
        {column.name}
      </th>
    )
  }
  return (
    // biome-ignore lint/a11y/noRedundantRoles: some browsers drop it with `display`
    <th role="columnheader" scope="col" aria-sort={direction} className={className}>
      <button
        type="button"
        className={styles.sort}
        onClick={() => onSort(direction === 'ascending' ? `-${column.id}` : column.id)}
      >
        {column.name}
        {direction === 'ascending' && <ArrowUp aria-hidden="true" />}
        {direction === 'descending' && <ArrowDown aria-hidden="true" />}
      </button>
    </th>
  )
}

/** A placeholder for a table that is being loaded. */
export function TableSkeleton({ label, rows = 4 }: { label: string; rows?: number }) {
  return (
    <div className={styles.frame} role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, row) => (
        <div key={row} className={styles.skeletonRow} aria-hidden="true">
          <span />
          <span />
          <span />
        </div>
      ))}
    </div>
  )
}
