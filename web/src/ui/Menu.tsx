import { EllipsisVertical } from 'lucide-react'
import type { ReactNode } from 'react'
import { Menu as AriaMenu, MenuItem, MenuTrigger, Popover, Separator, Text } from 'react-aria-components'
import { IconButton } from './Button'
import styles from './Menu.module.css'

export interface MenuAction {
  id: string
  label: string
  icon: ReactNode
  onAction: () => void
  /** Why the action is disabled, shown below its label. */
  reason?: string | null
  danger?: boolean
  /** Draws a line above the action. */
  separated?: boolean
}

/** The items of a menu, inside a `MenuTrigger`. */
export function MenuItems({ label, actions }: { label: string; actions: readonly MenuAction[] }) {
  return (
    <Popover className={styles.popover} offset={4} placement="bottom end">
      <AriaMenu className={styles.menu} aria-label={label}>
        {actions.flatMap((action) => [
          ...(action.separated ? [<Separator key={`${action.id}-line`} className={styles.line} />] : []),
          <MenuItem
            key={action.id}
            id={action.id}
            textValue={action.label}
            className={`${styles.item} ${action.danger ? styles.danger : ''}`}
            isDisabled={Boolean(action.reason)}
            onAction={action.onAction}
          >
            {action.icon}
            <span className={styles.text}>
              <Text slot="label">{action.label}</Text>
              {action.reason && (
                <Text slot="description" className={styles.reason}>
                  {action.reason}
                </Text>
              )}
            </span>
          </MenuItem>,
        ])}
      </AriaMenu>
    </Popover>
  )
}

/** The menu behind three dots, at the end of a row or in a page's header. */
export function RowMenu({ label, actions }: { label: string; actions: readonly MenuAction[] }) {
  return (
    <MenuTrigger>
      <IconButton label={label} icon={<EllipsisVertical />} />
      <MenuItems label={label} actions={actions} />
    </MenuTrigger>
  )
}
