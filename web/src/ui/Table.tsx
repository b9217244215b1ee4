import { ArrowDown, ArrowUp } from 'lucide-react'
import type { ReactNode } from 'react'
import { Button } from './Button'
import styles from './Table.module.css'

export interface Column<T> {
  id: string
  name: string
  cell: (item: T) => ReactNode
  /** Numbers stand right. */
  align?: 'end'
  /** The server sorts by it. */
  sortable?: boolean
}

export interface TableProps<T extends { id: string }> {
  label: string
  columns: readonly Column<T>[]
  items: readonly T[]
  /** `name` or `-name`, as the API says it. */
  sort?: string
  onSort?: (sort: string) => void
  /** The row's menu. */
  actions?: (item: T) => ReactNode
  more?: { load: () => void; busy: boolean } | null
}

/**
 * A table on wide screens, a list of cards on narrow ones. Roles are written out: changing `display` takes them away in some
 * browsers.
 */
export function Table<T extends { id: string }>(props: TableProps<T>) {
  const { label, columns, items, sort, onSort, actions, more } = props
  return (
    <div className={styles.frame}>
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
                  className={column.align && styles.end}
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
          <Button look="quiet" busy={more.busy} onPress={more.load}>
            Show more
          </Button>
        </div>
      )}
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
  if (!column.sortable || !onSort) {
    return (
      // biome-ignore lint/a11y/noRedundantRoles: `display` takes the role away in some browsers
      <th role="columnheader" scope="col" className={className}>
        {column.name}
      </th>
    )
  }
  return (
    // biome-ignore lint/a11y/noRedundantRoles: `display` takes the role away in some browsers
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

/** The shape of a table whose rows have not arrived. */
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
