import { Eye, EyeOff, Pencil, Trash2, TriangleAlert, Undo2 } from 'lucide-react'
import { type ReactNode, useState } from 'react'
import { useEditStockImage } from '@/api/queries/stock-images'
import type { Image, MediaGroup, StockImagePatch } from '@/api/types'
import { DeprecateDialog, EditStockImageDialog } from '@/features/catalogue/StockImageDialogs'
import { deleteReason } from '@/features/images/actions'
import { DeleteImageDialog } from '@/features/images/ImageDialogs'
import { asProblem, type Problem } from '@/lib/problem'
import type { MenuAction } from '@/ui/Menu'

interface Open {
  kind: 'edit' | 'deprecate' | 'delete'
  image: Image
}

interface StockImageCommands {
  actions: (image: Image) => MenuAction[]
  dialog: ReactNode
  /** Why the last action without a dialog was refused. */
  problem: Problem | null
}

/** Returns what an admin can do with stock images, and the open dialog. */
export function useStockImageCommands(
  images: readonly Image[],
  groups: readonly MediaGroup[],
): StockImageCommands {
  const [open, setOpen] = useState<Open | null>(null)
  const edit = useEditStockImage()
  const close = () => setOpen(null)
  const change = (image: Image, patch: StockImagePatch) => edit.mutate({ image, patch })
  const actions = (image: Image): MenuAction[] => {
    const isHidden = image.catalogue?.hidden ?? false
    const isDeprecated = image.catalogue?.deprecation != null
    return [
      { id: 'edit', label: 'Edit', icon: <Pencil />, onAction: () => setOpen({ kind: 'edit', image }) },
      {
        id: 'deprecate',
        label: isDeprecated ? 'Edit notice' : 'Deprecate',
        icon: <TriangleAlert />,
        onAction: () => setOpen({ kind: 'deprecate', image }),
      },
      ...(isDeprecated
        ? [
            {
              id: 'undeprecate',
              label: 'Remove notice',
              icon: <Undo2 />,
              onAction: () => change(image, { deprecation: null }),
            },
          ]
        : []),
      {
        id: 'hide',
        label: isHidden ? 'Show to customers' : 'Hide from customers',
        icon: isHidden ? <Eye /> : <EyeOff />,
        onAction: () => change(image, { hidden: !isHidden }),
      },
      {
        id: 'delete',
        label: 'Delete',
        icon: <Trash2 />,
        onAction: () => setOpen({ kind: 'delete', image }),
        reason: deleteReason(image),
        danger: true,
        separated: true,
      },
    ]
  }
  const dialog =
    open?.kind === 'edit' ? (
      <EditStockImageDialog image={open.image} groups={groups} onClose={close} />
    ) : open?.kind === 'deprecate' ? (
      <DeprecateDialog image={open.image} others={images} onClose={close} />
    ) : open?.kind === 'delete' ? (
      <DeleteImageDialog image={open.image} onClose={close} />
    ) : null
  return { actions, dialog, problem: edit.isError ? asProblem(edit.error) : null }
}
