import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useCallback, useState } from 'react'
import { useHypervisors } from '@/api/queries/catalogue'
import { storagesQuery, useEditStorage, useStorageKinds } from '@/api/queries/storages'
import type { ImageStorage } from '@/api/types'
import type { StorageCommands } from '@/features/storages/actions'
import {
  BindStorageDialog,
  DeleteStorageDialog,
  DrainStorageDialog,
  EditStorageDialog,
  UnbindStorageDialog,
} from '@/features/storages/StorageDialogs'
import { fieldsOf } from '@/features/storages/schema-fields'
import { asProblem, type Problem } from '@/lib/problem'

interface Open {
  kind: 'edit' | 'bind' | 'unbind' | 'drain' | 'remove'
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
  storageName: (id: string) => string
}

/** Returns the actions on image storages and their open dialog, for the list and a storage's page. */
export function useStorageCommands(onDeleted?: () => void): StorageCommandsView {
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
    edit: (storage) => setOpen({ kind: 'edit', storage }),
    bind: (storage) => setOpen({ kind: 'bind', storage }),
    unbind: (storage, hypervisorId) => setOpen({ kind: 'unbind', storage, hypervisorId }),
    drain: (storage) => setOpen({ kind: 'drain', storage }),
    setState: (storage, state) => change.mutate({ storage, patch: { state } }),
    remove: (storage) => setOpen({ kind: 'remove', storage }),
  }
  const problem = change.isError ? asProblem(change.error) : null
  return { commands, dialog: dialogOf(), problem, hypervisorName, storageName }

  function dialogOf(): ReactNode {
    if (!open) return null
    const { storage, hypervisorId = '' } = open
    switch (open.kind) {
      case 'edit': {
        const kind = kinds.find((candidate) => candidate.kind === storage.kind)
        return <EditStorageDialog storage={storage} onClose={close} fields={fieldsOf(kind?.schema)} />
      }
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
