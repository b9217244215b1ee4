import { type ErrorComponentProps, useRouter } from '@tanstack/react-router'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ProblemNotice } from '@/ui/Notice'
import styles from './ErrorPage.module.css'

/** Shown when a page could not be loaded or rendered. */
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
