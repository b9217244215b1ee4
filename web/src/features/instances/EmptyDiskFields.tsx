import { useQuery } from '@tanstack/react-query'
import { isosQuery } from '@/api/queries/isos'
import { asProblem } from '@/lib/problem'
import { SelectField } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'
import { MutedText } from '@/ui/Page'

export interface EmptyDiskFieldsProps {
  iso: string
  onChange: (iso: string) => void
  problem: string | null
}

/** Chooses the ISO from which a system is installed onto the empty disk of a new instance. */
export function EmptyDiskFields({ iso, onChange, problem }: EmptyDiskFieldsProps) {
  const isos = useQuery(isosQuery(undefined))
  return (
    <>
      {isos.isError && <ProblemNotice problem={asProblem(isos.error)} />}
      {isos.data?.length === 0 && <MutedText>The provider offers no ISOs yet.</MutedText>}
      <SelectField
        label="ISO"
        choices={(isos.data ?? []).map(({ id, name }) => ({ id, label: name }))}
        value={iso}
        onChange={onChange}
        help="The instance boots from it first, until you eject it on the instance's page."
        problem={problem}
      />
    </>
  )
}
