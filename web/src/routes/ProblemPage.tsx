import type { ReactNode } from 'react'
import type { Problem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ProblemNotice } from '@/ui/Notice'
import { PageHeader, Stack } from '@/ui/Page'

export interface ProblemPageProps {
  title: string
  back?: ReactNode
  problem: Problem
  onRetry: () => void
}

/** Shown instead of a page that could not be loaded. */
export function ProblemPage({ title, back, problem, onRetry }: ProblemPageProps) {
  return (
    <Stack>
      <PageHeader title={title} back={back} />
      <ProblemNotice problem={problem} actions={<Button onPress={onRetry}>Try again</Button>} />
    </Stack>
  )
}
