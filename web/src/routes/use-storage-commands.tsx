import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { type ReactNode, useCallback, useState } from 'react'
import { useHypervisors } from '@/api/queries/catalogue'
import { storagesQuery, useEditStorage, useStorageKinds } from '@/api/queries/storages'
import type { Hypervisor, ImageStorage, StorageKind } from '@/api/types'
import type { StorageCommands } from '@/features/storages/actions'
import { SecretsDialog } from '@/features/storages/SecretsDialog'
import {
  BindStorageDialog,
  DeleteStorageDialog,
  DrainStorageDialog,
  EditStorageDialog,
  UnbindStorageDialog,
} from '@/features/storages/StorageDialogs'
import { fieldsOf } from '@/features/storages/schema-fields'
import { secretNames } from '@/features/storages/secrets'
import { TestStorageDialog } from '@/features/storages/TestStorageDialog'
import { asProblem, type Problem } from '@/lib/problem'

interface Open {
  kind: 'edit' | 'secrets' | 'bind' | 'unbind' | 'test' | 'drain' | 'remove'
  storage: ImageStorage
  hypervisorId?: string
}

export interface StorageCommandsView {
  commands: StorageCommands
  /** The open dialog. */
  dialog: ReactNode
  /** Why the last change of a state was refused. */
  problem: Problem | null
  hypervisorName: (id: string) => string
  /** Whether a kind of storages has secrets. */
  hasSecrets: (storage: ImageStorage) => boolean
  storageName: (id: string) => string
}

/** Returns the actions on image storages and their open dialog, for the list and a storage's page. */
export function useStorageCommands(onDeleted?: () => void): StorageCommandsView {
  const navigate = useNavigate()
  const [open, setOpen] = useState<Open | null>(null)
  const { data: hypervisors = [] } = useHypervisors()
  const { data: storages = [] } = useQuery(storagesQuery({}))
  const { data: kinds = [] } = useStorageKinds()
  const change = useEditStorage()
  const close = () => setOpen(null)
  const hypervisorName = useCallback(
    (id: string) => hypervisors.find((hypervisor) => hypervisor.id === id)?.name ?? id,
    [hypervisors],
  )
  const storageName = (id: string) => storages.find((storage) => storage.id === id)?.name ?? id
  const commands: StorageCommands = {
    browse: ({ id }) => void navigate({ to: '/image-storages/$id/objects', params: { id } }),
    edit: (storage) => setOpen({ kind: 'edit', storage }),
    editSecrets: (storage) => setOpen({ kind: 'secrets', storage }),
    bind: (storage) => setOpen({ kind: 'bind', storage }),
    unbind: (storage, hypervisorId) => setOpen({ kind: 'unbind', storage, hypervisorId }),
    test: (storage) => setOpen({ kind: 'test', storage }),
    drain: (storage) => setOpen({ kind: 'drain', storage }),
    setState: (storage, state) => change.mutate({ storage, patch: { state } }),
    remove: (storage) => setOpen({ kind: 'remove', storage }),
  }
  const problem = change.isError ? asProblem(change.error) : null
  const hasSecrets = (storage: ImageStorage) =>
    secretNames(storage, fieldsOf(kinds.find(({ kind }) => kind === storage.kind)?.schema)).length > 0
  return { commands, dialog: dialogOf(), problem, hypervisorName, hasSecrets, storageName }

  function dialogOf(): ReactNode {
    if (!open) return null
    const { storage, hypervisorId = '' } = open
    const kind = kinds.find((candidate) => candidate.kind === storage.kind)
    const fields = fieldsOf(kind?.schema)
    const testers = testersOf(storage, kind, hypervisors)
    switch (open.kind) {
      case 'edit':
        return <EditStorageDialog storage={storage} onClose={close} testers={testers} fields={fields} />
      case 'secrets':
        return <SecretsDialog storage={storage} onClose={close} testers={testers} fields={fields} />
      case 'test':
        return <TestStorageDialog storage={storage} onClose={close} hypervisors={testers} fields={fields} />
      case 'bind':
        return <BindStorageDialog storage={storage} onClose={close} hypervisors={hypervisors} />
      case 'unbind':
        return (
          <UnbindStorageDialog
            storage={storage}
            onClose={close}
            hypervisor={{ id: hypervisorId, name: hypervisorName(hypervisorId) }}
          />
        )
      case 'drain':
        return (
          <DrainStorageDialog
            storage={storage}
            onClose={close}
            targets={storages.filter(
              ({ id, role, state }) => id !== storage.id && role === storage.role && state === 'active',
            )}
          />
        )
      case 'remove':
        return <DeleteStorageDialog storage={storage} onClose={close} {...(onDeleted ? { onDeleted } : {})} />
    }
  }
}

/** Returns the hypervisors that can test a storage: those that it is bound to come first. */
function testersOf(
  { hypervisor_ids }: ImageStorage,
  kind: StorageKind | undefined,
  hypervisors: readonly Hypervisor[],
): Hypervisor[] {
  const isBound = ({ id }: Hypervisor) => hypervisor_ids.includes(id)
  const others = hypervisors.filter(
    (hypervisor) =>
      !isBound(hypervisor) && kind?.hypervisors.some(({ hypervisor_id }) => hypervisor_id === hypervisor.id),
  )
  return [...hypervisors.filter(isBound), ...others]
}
