import type { ObjectAction, ObjectClass } from '@/api/types'
import { SelectField } from '@/ui/Field'
import { Card, MutedText, Stack } from '@/ui/Page'
import { ClassBadge } from './ClassBadge'
import { ACTIONS, CLASSES, type Found, objectsText } from './objects'
import styles from './Reconcile.module.css'
import { type Choices, choiceOf } from './reconcile'

export interface ReconcileChoicesProps {
  found: readonly Found[]
  choices: Choices
  onChoose: (name: ObjectClass, action: ObjectAction | 'none') => void
}

/** What is done about each class; what is proposed is chosen at first. */
export function ReconcileChoices({ found, choices, onChoose }: ReconcileChoicesProps) {
  return (
    <Card title="What to do">
      <ul className={styles.choices}>
        {found.map((one) => (
          <li key={one.class}>
            <Stack tight>
              <span className={styles.class}>
                <ClassBadge name={one.class} />
                <strong>{objectsText(one.count, one.bytes)}</strong>
              </span>
              <MutedText>{CLASSES[one.class].detail}.</MutedText>
            </Stack>
            <SelectField
              label={`${CLASSES[one.class].label}: what to do`}
              choices={[
                { id: 'none', label: 'Leave alone' },
                ...one.actions.map((id) => ({ id, ...ACTIONS[id] })),
              ]}
              value={choiceOf(choices, one)}
              onChange={(action) => onChoose(one.class, action as ObjectAction | 'none')}
            />
          </li>
        ))}
      </ul>
    </Card>
  )
}
