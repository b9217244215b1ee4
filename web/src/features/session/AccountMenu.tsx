import { ChevronsUpDown, LogOut, Monitor, Moon, Sun } from 'lucide-react'
import { useState } from 'react'
import { Button, MenuTrigger } from 'react-aria-components'
import { useSignOut } from '@/api/queries/session'
import type { Account } from '@/api/types'
import { readTheme, setTheme, type Theme } from '@/lib/theme'
import { MenuItems } from '@/ui/Menu'
import styles from './AccountMenu.module.css'

const NEXT: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' }
const NAMES: Record<Theme, string> = { system: 'system', light: 'light', dark: 'dark' }
const ICONS = { system: <Monitor />, light: <Sun />, dark: <Moon /> } as const

export function AccountMenu({ account, onSignedOut }: { account: Account; onSignedOut: () => void }) {
  const [theme, choose] = useState(readTheme)
  const signOut = useSignOut()
  const changeTheme = () => {
    const next = NEXT[theme]
    setTheme(next)
    choose(next)
  }
  return (
    <MenuTrigger>
      <Button className={styles.trigger}>
        <span className="visually-hidden">Account </span>
        <span className={styles.initial} aria-hidden="true">
          {account.name.charAt(0).toUpperCase()}
        </span>
        <span className={styles.identity}>
          <span className={styles.name}>{account.name}</span>
          <span className={styles.role}>{account.role === 'admin' ? 'Administrator' : 'Customer'}</span>
        </span>
        <ChevronsUpDown aria-hidden="true" />
      </Button>
      <MenuItems
        label="Account"
        actions={[
          { id: 'theme', label: `Theme: ${NAMES[theme]}`, icon: ICONS[theme], onAction: changeTheme },
          {
            id: 'sign-out',
            label: 'Sign out',
            icon: <LogOut />,
            separated: true,
            // Even if the request fails, this browser must not show the account's data.
            onAction: () => signOut.mutate(undefined, { onSettled: onSignedOut }),
          },
        ]}
      />
    </MenuTrigger>
  )
}
