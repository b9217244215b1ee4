/**
 * The pages and their addresses. Filters, tabs and sorts are search parameters, so that a page can
 * be linked and reloaded.
 */
import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from '@tanstack/react-router'
import { accountQuery } from '@/api/queries/session'
import { queryClient } from '@/api/query-client'
import { asProblem } from '@/lib/problem'
import {
  billingSearch,
  createSearch,
  imagesSearch,
  importSearch,
  objectsSearch,
  signInSearch,
  storagesSearch,
  tasksSearch,
  usageSearch,
} from '@/lib/search'
import { CreateInstancePage } from '@/routes/CreateInstancePage'
import { ErrorPage } from '@/routes/ErrorPage'
import { ImagePage } from '@/routes/ImagePage'
import { ImagesPage } from '@/routes/ImagesPage'
import { InstancePage } from '@/routes/InstancePage'
import { InstancesPage } from '@/routes/InstancesPage'
import { NotFoundPage } from '@/routes/NotFoundPage'
import { ReinstallPage } from '@/routes/ReinstallPage'
import { Shell } from '@/routes/Shell'
import { SignInPage } from '@/routes/SignInPage'
import { TasksPage } from '@/routes/TasksPage'

const root = createRootRoute({
  component: Outlet,
  notFoundComponent: NotFoundPage,
  errorComponent: ErrorPage,
})

const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  component: SignInPage,
  validateSearch: signInSearch,
})

/** The parent of all pages that need an account. */
const shell = createRoute({
  getParentRoute: () => root,
  id: 'shell',
  component: Shell,
  errorComponent: ErrorPage,
  beforeLoad: async ({ location }) => {
    try {
      await queryClient.ensureQueryData(accountQuery)
    } catch (error) {
      if (asProblem(error).status !== 401) throw error
      throw redirect({ to: '/sign-in', search: location.href === '/' ? {} : { next: location.href } })
    }
  },
})

const index = createRoute({
  getParentRoute: () => shell,
  path: '/',
  beforeLoad: () => {
    throw redirect({ to: '/instances', replace: true })
  },
})
const instances = createRoute({ getParentRoute: () => shell, path: '/instances', component: InstancesPage })
const createInstance = createRoute({
  getParentRoute: () => shell,
  path: '/instances/new',
  component: CreateInstancePage,
  validateSearch: createSearch,
})
const instance = createRoute({ getParentRoute: () => shell, path: '/instances/$id', component: InstancePage })
const reinstall = createRoute({
  getParentRoute: () => shell,
  path: '/instances/$id/reinstall',
  component: ReinstallPage,
  validateSearch: createSearch,
})
const images = createRoute({
  getParentRoute: () => shell,
  path: '/images',
  component: ImagesPage,
  validateSearch: imagesSearch,
})
const importImage = createRoute({
  getParentRoute: () => shell,
  path: '/images/import',
  component: lazyRouteComponent(() => import('@/routes/ImportPage'), 'ImportPage'),
  validateSearch: importSearch,
})
const image = createRoute({ getParentRoute: () => shell, path: '/images/$id', component: ImagePage })
const tasks = createRoute({
  getParentRoute: () => shell,
  path: '/tasks',
  component: TasksPage,
  validateSearch: tasksSearch,
})
const usage = createRoute({
  getParentRoute: () => shell,
  path: '/usage',
  component: lazyRouteComponent(() => import('@/routes/UsagePage'), 'UsagePage'),
  validateSearch: usageSearch,
})
const sshKeys = createRoute({
  getParentRoute: () => shell,
  path: '/ssh-keys',
  component: lazyRouteComponent(() => import('@/routes/SshKeysPage'), 'SshKeysPage'),
})
const webhooks = createRoute({
  getParentRoute: () => shell,
  path: '/webhooks',
  component: lazyRouteComponent(() => import('@/routes/WebhooksPage'), 'WebhooksPage'),
})
const userScripts = createRoute({
  getParentRoute: () => shell,
  path: '/user-scripts',
  component: lazyRouteComponent(() => import('@/routes/UserScriptsPage'), 'UserScriptsPage'),
})

/**
 * The pages for admins, loaded when one is opened: customers never need them. The server refuses
 * what they show to anybody else.
 */
const admin = createRoute({
  getParentRoute: () => shell,
  id: 'admin',
  component: Outlet,
  beforeLoad: async () => {
    const account = await queryClient.ensureQueryData(accountQuery)
    if (account.role !== 'admin') throw redirect({ to: '/instances', replace: true })
  },
})
const storages = createRoute({
  getParentRoute: () => admin,
  path: '/image-storages',
  component: lazyRouteComponent(() => import('@/routes/StoragesPage'), 'StoragesPage'),
  validateSearch: storagesSearch,
})
const addStorage = createRoute({
  getParentRoute: () => admin,
  path: '/image-storages/new',
  component: lazyRouteComponent(() => import('@/routes/AddStoragePage'), 'AddStoragePage'),
})
const storage = createRoute({
  getParentRoute: () => admin,
  path: '/image-storages/$id',
  component: lazyRouteComponent(() => import('@/routes/StoragePage'), 'StoragePage'),
})
const storageObjects = createRoute({
  getParentRoute: () => admin,
  path: '/image-storages/$id/objects',
  component: lazyRouteComponent(() => import('@/routes/StorageObjectsPage'), 'StorageObjectsPage'),
  validateSearch: objectsSearch,
})
const reconcile = createRoute({
  getParentRoute: () => admin,
  path: '/image-storages/$id/reconcile',
  component: lazyRouteComponent(() => import('@/routes/ReconcilePage'), 'ReconcilePage'),
})
const locations = createRoute({
  getParentRoute: () => admin,
  path: '/locations',
  component: lazyRouteComponent(() => import('@/routes/LocationsPage'), 'LocationsPage'),
})
const isos = createRoute({
  getParentRoute: () => admin,
  path: '/isos',
  component: lazyRouteComponent(() => import('@/routes/IsosPage'), 'IsosPage'),
})
const accounts = createRoute({
  getParentRoute: () => admin,
  path: '/accounts',
  component: lazyRouteComponent(() => import('@/routes/AccountsPage'), 'AccountsPage'),
})

const billing = createRoute({
  getParentRoute: () => admin,
  path: '/billing',
  component: lazyRouteComponent(() => import('@/routes/BillingPage'), 'BillingPage'),
  validateSearch: billingSearch,
})
const stockImages = createRoute({
  getParentRoute: () => admin,
  path: '/stock-images',
  component: lazyRouteComponent(() => import('@/routes/StockImagesPage'), 'StockImagesPage'),
})
const addStockImage = createRoute({
  getParentRoute: () => admin,
  path: '/stock-images/new',
  component: lazyRouteComponent(() => import('@/routes/AddStockImagePage'), 'AddStockImagePage'),
})
const mediaGroups = createRoute({
  getParentRoute: () => admin,
  path: '/media-groups',
  component: lazyRouteComponent(() => import('@/routes/MediaGroupsPage'), 'MediaGroupsPage'),
})

export const router = createRouter({
  routeTree: root.addChildren([
    signIn,
    shell.addChildren([
      index,
      instances,
      createInstance,
      instance,
      reinstall,
      images,
      importImage,
      image,
      tasks,
      usage,
      sshKeys,
      userScripts,
      webhooks,
      admin.addChildren([
        storages,
        addStorage,
        storage,
        storageObjects,
        reconcile,
        isos,
        stockImages,
        addStockImage,
        mediaGroups,
        locations,
        accounts,
        billing,
      ]),
    ]),
  ]),
  defaultPreload: false,
  scrollRestoration: true,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
