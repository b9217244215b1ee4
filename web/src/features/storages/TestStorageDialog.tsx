import { Button } from '@/ui/Button'
import { Dialog, DialogActions } from '@/ui/Dialog'
import { ConnectionTest } from './ConnectionTest'
import styles from './ConnectionTest.module.css'
import type { Choice, StorageDialogProps } from './StorageDialogs'
import type { SettingField } from './schema-fields'

export interface TestStorageDialogProps extends StorageDialogProps {
  hypervisors: readonly Choice[]
  fields: readonly SettingField[]
}

/** Tests a stored image storage with its stored settings and secrets. */
export function TestStorageDialog({ storage, onClose, hypervisors, fields }: TestStorageDialogProps) {
  return (
    <Dialog title={`Test ${storage.name}`} isOpen onClose={onClose}>
      <div className={styles.body}>
        <ConnectionTest
          hypervisors={hypervisors}
          subject={() => ({ storageId: storage.id })}
          fields={fields}
        />
      </div>
      <DialogActions>
        <Button onPress={onClose}>Close</Button>
      </DialogActions>
    </Dialog>
  )
}
