import { type ErrorComponentProps, useRouter } from '@tanstack/react-router'
import { asProblem } from '@/lib/problem'
import styles from './ErrorPage.module.css'
import { ProblemPage } from './ProblemPage'
import { useTitle } from './use-title'

/** Shown when a page could not be loaded or rendered. */
export function ErrorPage({ error }: ErrorComponentProps) {
  useTitle('Error')
  const router = useRouter()
  return (
    <main className={styles.page}>
      <ProblemPage
        title="This page could not be loaded"
        problem={asProblem(error)}
        onRetry={() => void router.invalidate()}
      />
    </main>
  )
}
