import { type ReactNode, useId, useRef, useState } from 'react'
import { Focusable, Tooltip, TooltipTrigger } from 'react-aria-components'
import styles from './Hint.module.css'

/** A tooltip for a disabled control or a short label; appears on hover, focus and touch. */
export function Hint({ text, children }: { text: string; children: ReactNode }) {
  const [isOpen, setOpen] = useState(false)
  const anchor = useRef<HTMLSpanElement>(null)
  const id = useId()
  return (
    <TooltipTrigger isOpen={isOpen} onOpenChange={setOpen} delay={250}>
      <Focusable>
        {/* biome-ignore lint/a11y/useSemanticElements: a group names its content; no element does that inline */}
        <span
          ref={anchor}
          role="group"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: the text needs a way by keyboard
          tabIndex={0}
          aria-describedby={id}
          className={styles.anchor}
          onClick={() => setOpen(true)}
          onKeyDown={(event) => event.key === 'Escape' && setOpen(false)}
        >
          {children}
          <span id={id} className="visually-hidden">
            {text}
          </span>
        </span>
      </Focusable>
      <Tooltip triggerRef={anchor} offset={8} className={styles.tip}>
        {text}
      </Tooltip>
    </TooltipTrigger>
  )
}
