/** Lines of a report. */
import type { UsageLine } from '@/api/types'

/** Returns what a line is called: an allowance has no name of its own. */
export const lineName = ({ kind, name }: UsageLine): string =>
  kind === 'allowance' ? 'Free allowance' : name
