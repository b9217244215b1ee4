import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { queryClient, setSignedOutHandler } from '@/api/query-client'
import { readTheme, setTheme } from '@/lib/theme'
import { router } from '@/router'
import '@/theme.css'

setTheme(readTheme())

// The session ended while a page was open: after signing in, the page is opened again.
setSignedOutHandler(() => {
  const { pathname, href } = router.state.location
  if (pathname === '/sign-in') return
  queryClient.clear()
  void router.navigate({ to: '/sign-in', search: { next: href, ended: true } })
})

const element = document.getElementById('root')
if (element) {
  createRoot(element).render(
    <StrictMode>
      <QueryClientProvider client={queryClient}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  )
}
