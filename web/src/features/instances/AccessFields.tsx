import { useQuery } from '@tanstack/react-query'
import { sshKeysQuery, userScriptsQuery } from '@/api/queries/saved'
import type { InstanceCreate } from '@/api/types'
import { asProblem } from '@/lib/problem'
import { parseSshKeys } from '@/lib/ssh'
import { Disclosure } from '@/ui/Disclosure'
import { Checkbox, CheckboxGroup, SelectField, TextField } from '@/ui/Field'
import { ProblemNotice } from '@/ui/Notice'
import { MutedText } from '@/ui/Page'

export interface Access {
  /** The ids of the chosen saved keys. */
  keyIds: readonly string[]
  /** Typed keys, one per line. */
  keys: string
  /** The id of the chosen saved script, or `TYPED`. */
  script: string
  /** The typed script. */
  userData: string
}

/** The choice of a script that is typed, or of none. */
const TYPED = 'typed'

export const NO_ACCESS: Access = { keyIds: [], keys: '', script: TYPED, userData: '' }

export interface AccessFieldsProps {
  values: Access
  onChange: (patch: Partial<Access>) => void
  keysProblem: string | null
  scriptProblem: string | null
}

/** Chooses the SSH keys and the script of a new instance, from what is saved or typed. */
export function AccessFields({ values, onChange, keysProblem, scriptProblem }: AccessFieldsProps) {
  const sshKeys = useQuery(sshKeysQuery)
  const scripts = useQuery(userScriptsQuery)
  const problem = sshKeys.error ?? scripts.error
  const toggle = (id: string, isChosen: boolean) => {
    const others = values.keyIds.filter((other) => other !== id)
    onChange({ keyIds: isChosen ? [...others, id] : others })
  }
  return (
    <>
      {problem && <ProblemNotice problem={asProblem(problem)} />}
      {sshKeys.data && sshKeys.data.length > 0 && (
        <CheckboxGroup label="Saved SSH keys">
          {sshKeys.data.map(({ id, name, type }) => (
            <Checkbox
              key={id}
              label={name}
              help={type}
              isSelected={values.keyIds.includes(id)}
              onChange={(isChosen) => toggle(id, isChosen)}
            />
          ))}
        </CheckboxGroup>
      )}
      <TextField
        label="SSH keys"
        rows={3}
        mono
        optional
        placeholder="ssh-ed25519 AAAA… me@laptop"
        help="Public keys, one per line."
        value={values.keys}
        onChange={(keys) => onChange({ keys })}
        problem={keysProblem}
      />
      {scripts.data && scripts.data.length > 0 && (
        <SelectField
          label="User script"
          choices={[
            { id: TYPED, label: 'None, or as typed below' },
            ...scripts.data.map(({ id, name }) => ({ id, label: name })),
          ]}
          value={values.script}
          onChange={(script) => onChange({ script })}
          problem={scriptProblem}
        />
      )}
      {values.script === TYPED ? (
        <Disclosure title="User data">
          <TextField
            label="User data"
            rows={6}
            mono
            optional
            placeholder={'#cloud-config\npackages: [nginx]'}
            help="A script or cloud-config that runs at the first boot."
            value={values.userData}
            onChange={(userData) => onChange({ userData })}
          />
        </Disclosure>
      ) : (
        <MutedText>The saved script runs at the first boot.</MutedText>
      )}
    </>
  )
}

/** Shown instead of the fields where the image's system does not take what they give. */
export function NoAccess() {
  return (
    <MutedText>
      The system of this image does not support cloud-init: it takes neither SSH keys nor a user script. Sign
      in as the image provides for.
    </MutedText>
  )
}
type AccessMembers = 'ssh_key_ids' | 'ssh_keys' | 'user_script_id' | 'user_data'

/** Returns the members of a request that are chosen here. */
export function accessOf(values: Access): Partial<Pick<InstanceCreate, AccessMembers>> {
  const { keys } = parseSshKeys(values.keys)
  return {
    ...(values.keyIds.length > 0 ? { ssh_key_ids: [...values.keyIds] } : {}),
    ...(keys.length > 0 ? { ssh_keys: keys } : {}),
    ...(values.script !== TYPED
      ? { user_script_id: values.script }
      : values.userData.trim()
        ? { user_data: values.userData }
        : {}),
  }
}
