import { X } from 'lucide-react'
import styles from './Tags.module.css'

export interface TagsProps {
  /** What the list is called, for example `Tags of web-1`. */
  label: string
  tags: readonly string[]
  /** What pressing a tag does, for example `Show images with the tag`. */
  action: string
  onPress: (tag: string) => void
  /** Shows that pressing a tag takes it away. */
  removable?: boolean
}

/** Tags as a row of small buttons; nothing without any. */
export function Tags({ label, tags, action, onPress, removable = false }: TagsProps) {
  if (tags.length === 0) return null
  return (
    <ul className={styles.tags} aria-label={label}>
      {tags.map((tag) => (
        <li key={tag}>
          <button
            type="button"
            className={styles.tag}
            title={`${action} ${tag}`}
            onClick={() => onPress(tag)}
          >
            {tag}
            {removable && <X aria-hidden="true" />}
          </button>
        </li>
      ))}
    </ul>
  )
}
