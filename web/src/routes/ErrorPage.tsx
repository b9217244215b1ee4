import { type ErrorComponentProps, useRouter } from '@tanstack/react-router'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ProblemNotice } from '@/ui/Notice'
import styles from './ErrorPage.module.css'

/** What is left to show when a page could not be built. */
export function ErrorPage({ error }: ErrorComponentProps) {
  const router = useRouter()
  return (
    <main className={styles.page}>
      <ProblemNotice
        problem={asProblem(error)}
        actions={<Button onPress={() => void router.invalidate()}>Try again</Button>}
      />
    </main>
  )
}
