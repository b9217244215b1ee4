import { useRouter, useSearch } from '@tanstack/react-router'
import { SignInForm } from '@/features/session/SignInForm'
import { Brand } from '@/ui/Brand'
import { Notice } from '@/ui/Notice'
import styles from './SignInPage.module.css'
import { useTitle } from './use-title'

export function SignInPage() {
  useTitle('Sign in')
  const router = useRouter()
  const { next, ended } = useSearch({ from: '/sign-in' })
  return (
    <main className={styles.page}>
      <div className={styles.panel}>
        <Brand />
        <h1 className={styles.title}>Sign in</h1>
        {ended && (
          <Notice title="Your session has ended">
            <p>Sign in to return to the page that was open.</p>
          </Notice>
        )}
        <SignInForm onSignedIn={() => router.history.push(next ?? '/instances')} />
      </div>
      <Pattern />
    </main>
  )
}

/** The picture next to the form: a disk and layers below it. */
function Pattern() {
  return (
    <div className={styles.pattern} aria-hidden="true">
      <svg role="presentation" viewBox="0 0 400 520" preserveAspectRatio="xMidYMid slice">
        {Array.from({ length: 9 }, (_, layer) => (
          <path key={layer} d={`m40 ${150 + layer * 30} 160 82 160-82`} opacity={0.75 - layer * 0.075} />
        ))}
        <path className={styles.disk} d="M200 52 40 134l160 82 160-82z" />
      </svg>
    </div>
  )
}
