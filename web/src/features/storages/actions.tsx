import { ArrowRightLeft, CirclePlay, FolderSearch, Link2, Lock, Pencil, PlugZap, Trash2 } from 'lucide-react'
import type { ImageStorage } from '@/api/types'
import type { MenuAction } from '@/ui/Menu'
import { deleteReason, drainReason } from './labels'

/** The actions on image storages, which the page implements. */
export interface StorageCommands {
  browse: (storage: ImageStorage) => void
  edit: (storage: ImageStorage) => void
  bind: (storage: ImageStorage) => void
  unbind: (storage: ImageStorage, hypervisorId: string) => void
  test: (storage: ImageStorage) => void
  editSecrets: (storage: ImageStorage) => void
  drain: (storage: ImageStorage) => void
  setState: (storage: ImageStorage, state: 'active' | 'read_only') => void
  remove: (storage: ImageStorage) => void
}

export function storageActions(storage: ImageStorage, commands: StorageCommands): MenuAction[] {
  return [
    { id: 'browse', label: 'Browse', icon: <FolderSearch />, onAction: () => commands.browse(storage) },
    { id: 'edit', label: 'Edit', icon: <Pencil />, onAction: () => commands.edit(storage) },
    { id: 'bind', label: 'Bind to a hypervisor', icon: <Link2 />, onAction: () => commands.bind(storage) },
    { id: 'test', label: 'Test connection', icon: <PlugZap />, onAction: () => commands.test(storage) },
    storage.state === 'active'
      ? {
          id: 'read-only',
          label: 'Make read-only',
          icon: <Lock />,
          onAction: () => commands.setState(storage, 'read_only'),
        }
      : {
          id: 'activate',
          label: 'Make active',
          icon: <CirclePlay />,
          onAction: () => commands.setState(storage, 'active'),
        },
    {
      id: 'drain',
      label: 'Drain',
      icon: <ArrowRightLeft />,
      onAction: () => commands.drain(storage),
      reason: drainReason(storage),
    },
    {
      id: 'delete',
      label: 'Delete',
      icon: <Trash2 />,
      onAction: () => commands.remove(storage),
      reason: deleteReason(storage),
      danger: true,
      separated: true,
    },
  ]
}
