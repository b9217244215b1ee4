import { type RefObject, useEffect } from 'react'

const FOCUSABLE = 'a[href], button:not([disabled]), input:not([disabled]), select, textarea, [tabindex="0"]'

/** Where a focused element was: each of its ancestors with the position of the child towards it. */
type Path = readonly { parent: Element; index: number }[]

/**
 * Moves the focus when the element that has it is removed: to what took its place in the page, for
 * example the next row after a row was deleted. Browsers would move it to the start of the document.
 */
export function useFocusRescue(main: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const content = main.current
    if (!content) return
    let last: Element | null = null
    let lastInContent: HTMLElement | null = null
    let path: Path = []

    const remember = ({ target }: FocusEvent) => {
      if (!(target instanceof HTMLElement)) return
      last = target
      if (target === content || !content.contains(target)) return
      lastInContent = target
      path = pathTo(target, content)
    }
    const isLost = () => document.activeElement === document.body && last !== null && !last.isConnected
    const rescue = () => {
      if (!isLost()) return
      const target = lastInContent?.isConnected ? lastInContent : (replacementOf(path) ?? content)
      target.focus({ preventScroll: target === content })
    }
    // A press on an empty part of the page takes the focus away on purpose.
    const forget = ({ target }: FocusEvent) =>
      requestAnimationFrame(() => {
        const isUnfocused = document.activeElement === document.body
        if (isUnfocused && target === last && last?.isConnected) last = null
      })
    // A dialog that closes returns the focus itself, one frame later.
    const observer = new MutationObserver(() => {
      if (isLost()) requestAnimationFrame(() => requestAnimationFrame(rescue))
    })

    document.addEventListener('focusin', remember)
    document.addEventListener('focusout', forget)
    observer.observe(document.body, { childList: true, subtree: true })
    return () => {
      observer.disconnect()
      document.removeEventListener('focusin', remember)
      document.removeEventListener('focusout', forget)
    }
  }, [main])
}

function pathTo(element: Element, root: Element): Path {
  const path: { parent: Element; index: number }[] = []
  for (let child = element; child !== root; ) {
    const parent = child.parentElement
    if (!parent) break
    path.push({ parent, index: [...parent.children].indexOf(child) })
    child = parent
  }
  return path
}

/** Returns the focusable element that is nearest to a path's end, or `null`. */
function replacementOf(path: Path): HTMLElement | null {
  for (const { parent, index } of path) {
    if (!parent.isConnected) continue
    const place = parent.children[index] ?? parent.lastElementChild
    const found = firstFocusable(place) ?? firstFocusable(parent)
    if (found) return found
  }
  return null
}

function firstFocusable(within: Element | null): HTMLElement | null {
  if (!within) return null
  const all = within.querySelectorAll<HTMLElement>(FOCUSABLE)
  return [...all].find((element) => element.getClientRects().length > 0) ?? null
}
