import type { ReactNode } from 'react'
import { DropZone, FileTrigger } from 'react-aria-components'
import { Button } from './Button'
import styles from './FileDrop.module.css'

export interface FileDropProps {
  /** The label of the button that opens the browser's dialog. */
  choose: string
  onFiles: (files: File[]) => void
  children: ReactNode
}

/** Takes files that are dropped on it, or chosen in the browser's dialog. */
export function FileDrop({ choose, onFiles, children }: FileDropProps) {
  return (
    <DropZone
      className={styles.drop ?? ''}
      getDropOperation={() => 'copy'}
      onDrop={async ({ items }) => {
        const files = items.filter((item) => item.kind === 'file')
        onFiles(await Promise.all(files.map((item) => item.getFile())))
      }}
    >
      {children}
      <FileTrigger allowsMultiple onSelect={(list) => onFiles(Array.from(list ?? []))}>
        <Button>{choose}</Button>
      </FileTrigger>
    </DropZone>
  )
}
