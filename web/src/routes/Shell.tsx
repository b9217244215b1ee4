import { useQueryClient } from '@tanstack/react-query'
import { Link, Outlet, useLocation, useNavigate } from '@tanstack/react-router'
import { Layers, ListChecks, Server } from 'lucide-react'
import { type ReactNode, useEffect, useRef } from 'react'
import { useConnection } from '@/api/cache'
import { openStream } from '@/api/live'
import { useAccount } from '@/api/queries/session'
import { AccountMenu } from '@/features/session/AccountMenu'
import { useTaskToasts } from '@/features/tasks/use-task-toasts'
import { Brand } from '@/ui/Brand'
import { Toasts } from '@/ui/Toasts'
import styles from './Shell.module.css'

/** The frame of every page behind signing in: the sidebar, the live stream, the notifications. */
export function Shell() {
  const cache = useQueryClient()
  const navigate = useNavigate()
  const { data: account } = useAccount()
  const accountId = account?.id
  // One stream an account: another account is another stream.
  useEffect(() => (accountId ? openStream(cache) : undefined), [accountId, cache])
  const atWork = useTaskToasts()
  const main = useFocusOnNewPage()

  const leave = () => {
    cache.clear()
    void navigate({ to: '/sign-in' })
  }

  return (
    <div className={styles.shell}>
      <a className={styles.skip} href="#main">
        Skip to content
      </a>
      <header className={styles.side}>
        <Link to="/instances" className={styles.brand} aria-label="Imprint, start page">
          <Brand />
        </Link>
        <nav aria-label="Main" className={styles.nav}>
          <p className={styles.section} id="nav-compute">
            Compute
          </p>
          <ul aria-labelledby="nav-compute">
            <NavItem to="/instances" icon={<Server />} label="Instances" />
            <NavItem to="/images" icon={<Layers />} label="My Images" />
            <NavItem to="/tasks" icon={<ListChecks />} label="Tasks" count={atWork} />
          </ul>
        </nav>
        <div className={styles.account}>
          {account && <AccountMenu account={account} onSignedOut={leave} />}
        </div>
      </header>
      <main ref={main} id="main" className={styles.main} tabIndex={-1}>
        <ConnectionNotice />
        <Outlet />
      </main>
      <Toasts />
    </div>
  )
}

/** A new page takes the focus, as a page load would: whoever reads aloud starts there. */
function useFocusOnNewPage() {
  const main = useRef<HTMLElement>(null)
  const pathname = useLocation({ select: (location) => location.pathname })
  const last = useRef(pathname)
  useEffect(() => {
    if (last.current === pathname) return
    last.current = pathname
    main.current?.focus({ preventScroll: true })
  }, [pathname])
  return main
}

interface NavItemProps {
  to: '/instances' | '/images' | '/tasks'
  icon: ReactNode
  label: string
  count?: number
}

function NavItem({ to, icon, label, count = 0 }: NavItemProps) {
  return (
    <li>
      <Link
        to={to}
        className={styles.item}
        activeProps={{ className: styles.active, 'aria-current': 'page' }}
      >
        {icon}
        <span>{label}</span>
        {count > 0 && (
          <span className={styles.count}>
            {count}
            <span className="visually-hidden"> at work</span>
          </span>
        )}
      </Link>
    </li>
  )
}

/** Says when pages are no longer live by themselves. */
function ConnectionNotice() {
  if (useConnection() !== 'broken') return null
  return (
    <p className={styles.connection} role="status">
      Live updates are interrupted. This page asks every few seconds until they are back.
    </p>
  )
}
