/** The query cache. Events keep it fresh, so data is rarely requested twice. */
import { MutationCache, QueryCache, QueryClient } from '@tanstack/react-query'
import { asProblem } from '@/lib/problem'

/** The number of attempts after the first one, for errors that may be temporary. */
const MAX_RETRIES = 2

type Listener = () => void
let onSignedOut: Listener = () => {}

/** Sets the function that is called when the server no longer accepts the session. */
export function setSignedOutHandler(listener: Listener): void {
  onSignedOut = listener
}

function reportSignOut(error: unknown): void {
  const problem = asProblem(error)
  if (problem.status === 401 && problem.code !== 'sign_in_failed') onSignedOut()
}

export const queryClient = new QueryClient({
  queryCache: new QueryCache({ onError: reportSignOut }),
  mutationCache: new MutationCache({ onError: reportSignOut }),
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
