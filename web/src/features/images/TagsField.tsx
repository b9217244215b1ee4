import { type Problem, toSentence } from '@/lib/problem'
import { TextField } from '@/ui/Field'

export interface TagsFieldProps {
  /** The tags as they are typed, separated by commas. */
  value: string
  onChange: (value: string) => void
  problem: string | null
}

/** The tags of an image, in one line. */
export function TagsField({ value, onChange, problem }: TagsFieldProps) {
  return (
    <TextField
      label="Tags"
      optional
      placeholder="web, env=production"
      help="Separated by commas; at most 32, each of at most 64 characters."
      value={value}
      onChange={onChange}
      problem={problem}
    />
  )
}

/** Returns what the server says about the tags of a request. */
export function tagsProblem(problem: Problem): string | null {
  const detail = problem.within('/tags')
  return detail ? toSentence(detail) : null
}
