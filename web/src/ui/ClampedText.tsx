import styles from './ClampedText.module.css'

/** A text such as a name, cut after two lines; the title has all of it. */
export function ClampedText({ text }: { text: string }) {
  return (
    <span className={styles.clamped} title={text}>
      {text}
    </span>
  )
}
