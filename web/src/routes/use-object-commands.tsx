import { Link } from '@tanstack/react-router'
import { type ReactNode, useState } from 'react'
import { useDownloadObject, useReconcile } from '@/api/queries/storage-objects'
import type { ImageStorage, ObjectAction, StorageObject } from '@/api/types'
import { AdoptDialog, DeleteObjectDialog } from '@/features/storages/ObjectDialogs'
import type { ObjectCommands } from '@/features/storages/object-actions'
import { ACTIONS } from '@/features/storages/objects'
import { asProblem, type Problem, toSentence } from '@/lib/problem'
import { showToast } from '@/ui/Toasts'

interface Open {
  kind: 'adopt' | 'delete'
  object: StorageObject
}

export interface ObjectCommandsView {
  commands: ObjectCommands
  /** The open dialog. */
  dialog: ReactNode
  /** Why the last change was refused. */
  problem: Problem | null
  /** The tasks that the changes have begun, latest first. */
  taskIds: readonly string[]
}

/** Returns the actions on the objects that a scan found, and their open dialog. */
export function useObjectCommands(storage: ImageStorage, scanId: string): ObjectCommandsView {
  const [open, setOpen] = useState<Open | null>(null)
  const [taskIds, setTaskIds] = useState<readonly string[]>([])
  const change = useReconcile(storage.id)
  const download = useDownloadObject(storage.id)
  const close = () => setOpen(null)
  const run = (object: StorageObject, action: ObjectAction) =>
    change.mutate(
      { scan_id: scanId, changes: [{ action, keys: [object.key] }], dry_run: false },
      {
        onSuccess: ({ refused, task_ids }) => {
          close()
          setTaskIds((before) => [...task_ids, ...before])
          const refusal = refused[0]
          if (refusal) {
            showToast({ tone: 'bad', title: 'It was left alone', text: toSentence(refusal.reason) })
          } else if (task_ids.length === 0) {
            showToast({ tone: 'good', title: `The object is ${ACTIONS[action].done}`, text: object.key })
          }
        },
      },
    )
  const commands: ObjectCommands = {
    adopt: (object) => setOpen({ kind: 'adopt', object }),
    download: ({ key }) => {
      change.reset()
      // An attachment: the browser saves it, and the page stays.
      download.mutate(key, { onSuccess: ({ url }) => window.location.assign(url) })
    },
    act: (object, action) => {
      change.reset()
      download.reset()
      if (action === 'delete') setOpen({ kind: 'delete', object })
      else run(object, action)
    },
  }
  const failed = [change, download].find((mutation) => mutation.isError)
  const problem = failed ? asProblem(failed.error) : null
  return { commands, dialog: dialogOf(), problem: open?.kind === 'delete' ? null : problem, taskIds }

  function dialogOf(): ReactNode {
    if (!open) return null
    const { kind, object } = open
    if (kind === 'delete') {
      return (
        <DeleteObjectDialog
          storage={storage}
          object={object}
          busy={change.isPending}
          problem={problem}
          onClose={close}
          onConfirm={() => run(object, 'delete')}
        />
      )
    }
    return (
      <AdoptDialog
        storage={storage}
        object={object}
        onClose={close}
        onAdopted={({ image, task }) => {
          setTaskIds((before) => [task.id, ...before])
          showToast({
            tone: 'good',
            title: 'The image is being made',
            text: image.name,
            action: (
              <Link to="/images/$id" params={{ id: image.id }}>
                See image
              </Link>
            ),
          })
        }}
      />
    )
  }
}
