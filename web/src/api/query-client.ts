/** The cache of everything that the server said. Events keep it fresh, so nothing is asked for again without cause. */
import { MutationCache, QueryCache, QueryClient } from '@tanstack/react-query'
import { asProblem } from '@/lib/problem'

/** Attempts after the first, for what may pass by itself. */
const MAX_RETRIES = 2

type Listener = () => void
let onSignedOut: Listener = () => {}

/** Sets what happens when the server no longer knows the session. */
export function whenSignedOut(listener: Listener): void {
  onSignedOut = listener
}

function noticeSignOut(error: unknown): void {
  const problem = asProblem(error)
  if (problem.status === 401 && problem.code !== 'sign_in_failed') onSignedOut()
}

export const queryClient = new QueryClient({
  queryCache: new QueryCache({ onError: noticeSignOut }),
  mutationCache: new MutationCache({ onError: noticeSignOut }),
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      refetchOnWindowFocus: true,
      retry: (failures, error) => {
        const problem = asProblem(error)
        return failures < MAX_RETRIES && (problem.status === 0 || problem.status >= 500)
      },
    },
    mutations: { retry: false },
  },
})
