import { ClockFading, Download, ImagePlus, RotateCcw, Trash2, Wrench } from 'lucide-react'
import type { ReactNode } from 'react'
import type { ObjectAction, StorageObject } from '@/api/types'
import type { MenuAction } from '@/ui/Menu'
import { ACTIONS, isAdoptable } from './objects'

/** The actions on objects, which the page implements. */
export interface ObjectCommands {
  adopt: (object: StorageObject) => void
  download: (object: StorageObject) => void
  act: (object: StorageObject, action: ObjectAction) => void
}

const ICONS: Record<ObjectAction, ReactNode> = {
  quarantine: <ClockFading />,
  release: <RotateCcw />,
  repair: <Wrench />,
  delete: <Trash2 />,
}

/** Returns what can be done about an object, as the server says; deletion comes last. */
export function objectActions(object: StorageObject, commands: ObjectCommands): MenuAction[] {
  const of = (action: ObjectAction): MenuAction => ({
    id: action,
    label: ACTIONS[action].label,
    icon: ICONS[action],
    onAction: () => commands.act(object, action),
    ...(action === 'delete' ? { danger: true, separated: true } : {}),
  })
  const others = object.actions.filter((action) => action !== 'delete')
  return [
    // What is missing is only an image without its file.
    ...(object.class === 'missing'
      ? []
      : [
          {
            id: 'download',
            label: 'Download',
            icon: <Download />,
            onAction: () => commands.download(object),
          },
        ]),
    ...(isAdoptable(object)
      ? [
          {
            id: 'adopt',
            label: 'Adopt as an image',
            icon: <ImagePlus />,
            onAction: () => commands.adopt(object),
          },
        ]
      : []),
    ...others.map(of),
    ...(object.actions.includes('delete') ? [of('delete')] : []),
  ]
}
