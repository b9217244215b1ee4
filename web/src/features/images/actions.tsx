import { Braces, Pencil, Rocket, Trash2 } from 'lucide-react'
import type { Image } from '@/api/types'
import type { MenuAction } from '@/ui/Menu'

/** The actions on an image, which the page implements. */
export interface ImageCommands {
  deploy: (image: Image) => void
  edit: (image: Image) => void
  editMetadata: (image: Image) => void
  remove: (image: Image) => void
}

/** Returns whether an image is the account's own, a stock image, or one that is shared with it. */
export function scopeOf(image: Image): 'own' | 'stock' | 'shared' {
  if (image.kind === 'stock') return 'stock'
  return image.shared ? 'shared' : 'own'
}

/** Returns why an image cannot be deployed now, or `null`. */
export function deployReason(image: Image): string | null {
  switch (image.status) {
    case 'available':
      return null
    case 'creating':
      return 'The image is still being created.'
    case 'error':
      return 'Creating this image failed.'
    case 'deleting':
      return 'The image is being removed.'
  }
}

/** Returns why an image cannot be deleted now, or `null`. */
export function deleteReason(image: Image): string | null {
  if (image.protected) return 'The image is protected. Switch its protection off with Edit first.'
  switch (image.status) {
    case 'available':
    case 'error':
      return null
    case 'creating':
      return 'The image is still being created. Cancel its task first.'
    case 'deleting':
      return image.removal_failed ? null : 'The image is being removed.'
  }
}

export function imageActions(image: Image, commands: ImageCommands): MenuAction[] {
  return [
    {
      id: 'deploy',
      label: 'Create instance',
      icon: <Rocket />,
      onAction: () => commands.deploy(image),
      reason: deployReason(image),
    },
    { id: 'edit', label: 'Edit', icon: <Pencil />, onAction: () => commands.edit(image) },
    { id: 'metadata', label: 'Metadata', icon: <Braces />, onAction: () => commands.editMetadata(image) },
    {
      id: 'delete',
      label: image.removal_failed ? 'Delete again' : 'Delete',
      icon: <Trash2 />,
      onAction: () => commands.remove(image),
      reason: deleteReason(image),
      danger: true,
      separated: true,
    },
  ]
}
