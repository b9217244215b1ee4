import { Check, Copy as CopyIcon } from 'lucide-react'
import { useState } from 'react'
import { IconButton } from './Button'
import styles from './CopyableText.module.css'

/** Shows a value in full with a button that copies it, where the browser allows that. */
export function CopyableText({ label, value }: { label: string; value: string }) {
  const [done, setDone] = useState(false)
  const copy = async () => {
    await navigator.clipboard.writeText(value)
    setDone(true)
    setTimeout(() => setDone(false), 2000)
  }
  return (
    <span className={styles.copy}>
      <code>{value}</code>
      {/* Browsers have no clipboard API on plain http. */}
      {'clipboard' in navigator && (
        <IconButton
          label={done ? `${label} copied` : `Copy ${label}`}
          icon={done ? <Check /> : <CopyIcon />}
          onPress={() => void copy()}
        />
      )}
    </span>
  )
}
