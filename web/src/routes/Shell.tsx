import { useQueryClient } from '@tanstack/react-query'
import { Link, Outlet, useLocation, useNavigate } from '@tanstack/react-router'
import {
  Disc,
  Disc3,
  FileCode,
  FolderTree,
  HardDrive,
  KeyRound,
  Layers,
  ListChecks,
  MapPin,
  Receipt,
  Server,
  Users,
  Wallet,
  Webhook,
} from 'lucide-react'
import { type ReactNode, useEffect, useRef } from 'react'
import { useConnection } from '@/api/cache'
import { openStream } from '@/api/live'
import { useAccount } from '@/api/queries/session'
import { AccountMenu } from '@/features/session/AccountMenu'
import { useTaskToasts } from '@/features/tasks/use-task-toasts'
import { Brand } from '@/ui/Brand'
import { Toasts } from '@/ui/Toasts'
import styles from './Shell.module.css'
import { useFocusRescue } from './use-focus-rescue'

/** The frame of every page that needs an account: sidebar, event stream, notifications. */
export function Shell() {
  const cache = useQueryClient()
  const navigate = useNavigate()
  const { data: account } = useAccount()
  const accountId = account?.id
  // Each account has its own stream.
  useEffect(() => (accountId ? openStream(cache) : undefined), [accountId, cache])
  const activeTasks = useTaskToasts()
  const main = useFocusOnNewPage()
  useFocusRescue(main)

  const signedOut = () => {
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
            <NavItem to="/tasks" icon={<ListChecks />} label="Tasks" count={activeTasks} />
          </ul>
          <p className={styles.section} id="nav-account">
            Account
          </p>
          <ul aria-labelledby="nav-account">
            <NavItem to="/usage" icon={<Receipt />} label="Cloud Usage" />
            <NavItem to="/ssh-keys" icon={<KeyRound />} label="SSH Keys" />
            <NavItem to="/user-scripts" icon={<FileCode />} label="User Scripts" />
            <NavItem to="/webhooks" icon={<Webhook />} label="Webhooks" />
          </ul>
          {account?.role === 'admin' && (
            <>
              <p className={styles.section} id="nav-open-compute">
                Open Compute
              </p>
              <ul aria-labelledby="nav-open-compute">
                <NavItem to="/image-storages" icon={<HardDrive />} label="Image Storages" />
                <NavItem to="/isos" icon={<Disc />} label="ISOs" />
                <NavItem to="/stock-images" icon={<Disc3 />} label="Stock Images" />
                <NavItem to="/media-groups" icon={<FolderTree />} label="Media Groups" />
                <NavItem to="/locations" icon={<MapPin />} label="Locations" />
                <NavItem to="/accounts" icon={<Users />} label="Accounts" />
                <NavItem to="/billing" icon={<Wallet />} label="Billing" />
              </ul>
            </>
          )}
        </nav>
        <div className={styles.account}>
          {account && <AccountMenu account={account} onSignedOut={signedOut} />}
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

/** Moves the focus to a new page, as a page load does: screen readers start to read there. */
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
  to:
    | '/instances'
    | '/images'
    | '/tasks'
    | '/usage'
    | '/ssh-keys'
    | '/user-scripts'
    | '/webhooks'
    | '/image-storages'
    | '/isos'
    | '/stock-images'
    | '/media-groups'
    | '/locations'
    | '/accounts'
    | '/billing'
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
            <span className="visually-hidden"> active</span>
          </span>
        )}
      </Link>
    </li>
  )
}

/** Says that live updates are interrupted. */
function ConnectionNotice() {
  if (useConnection() !== 'broken') return null
  return (
    <p className={styles.connection} role="status">
      Live updates are interrupted. Until they are back, this page is updated every few seconds.
    </p>
  )
}
