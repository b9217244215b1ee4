import { useNavigate } from '@tanstack/react-router'
import { type ReactNode, useState } from 'react'
import type { Image } from '@/api/types'
import { type ImageCommands, scopeOf } from '@/features/images/actions'
import { DeleteImageDialog, EditImageDialog } from '@/features/images/ImageDialogs'
import { MetadataDialog } from '@/features/images/MetadataDialog'

/** The tabs of the page that creates instances. */
const TABS = { own: 'mine', stock: 'stock', shared: 'shared' } as const

interface Open {
  kind: 'edit' | 'metadata' | 'remove'
  image: Image
}

/** Returns the actions on images and their open dialog, for the list and for an image's page. */
export function useImageCommands(onDeleted?: () => void): { commands: ImageCommands; dialog: ReactNode } {
  const [open, setOpen] = useState<Open | null>(null)
  const navigate = useNavigate()
  const close = () => setOpen(null)
  const commands: ImageCommands = {
    deploy: (image) =>
      void navigate({
        to: '/instances/new',
        search: { tab: TABS[scopeOf(image)], image: image.id },
      }),
    edit: (image) => setOpen({ kind: 'edit', image }),
    editMetadata: (image) => setOpen({ kind: 'metadata', image }),
    remove: (image) => setOpen({ kind: 'remove', image }),
  }
  const dialog =
    open?.kind === 'edit' ? (
      <EditImageDialog image={open.image} onClose={close} />
    ) : open?.kind === 'metadata' ? (
      <MetadataDialog image={open.image} onClose={close} />
    ) : open?.kind === 'remove' ? (
      <DeleteImageDialog image={open.image} onClose={close} {...(onDeleted ? { onDeleted } : {})} />
    ) : null
  return { commands, dialog }
}
