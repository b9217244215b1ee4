import styles from './Brand.module.css'

/** The logo: a disk and the layers below it. */
export function Brand() {
  return (
    <span className={styles.brand}>
      <svg viewBox="0 0 24 24" aria-hidden="true">
        <path className={styles.top} d="M12 3 3 7.6l9 4.6 9-4.6z" />
        <path className={styles.under} d="m3 12.2 9 4.6 9-4.6M3 16.6l9 4.6 9-4.6" />
      </svg>
      Imprint
    </span>
  )
}
