import { isFinal, type Task, type TaskError } from '@/api/types'
import { toSentence } from '@/lib/problem'
import { CopyableText } from '@/ui/CopyableText'
import { Disclosure } from '@/ui/Disclosure'
import { Notice } from '@/ui/Notice'
import { detailAfterTitle, errorTitle } from './labels'
import styles from './TaskErrorNotice.module.css'

/** Why the last attempt of a task failed and what to do; a task that has not ended is retried. */
export function TaskErrorNotice({ task, error }: { task: Task; error: TaskError }) {
  const willRetry = !isFinal(task.state)
  const title = willRetry
    ? `Attempt ${Math.max(task.attempt, 1)} failed and will be retried automatically`
    : errorTitle(task, error)
  const detail = toSentence(willRetry ? error.detail : detailAfterTitle(error))
  return (
    <Notice tone={willRetry ? 'warn' : 'bad'} title={title}>
      {detail && <p>{detail}</p>}
      <p>{toSentence(error.action)}</p>
      <dl className={styles.reference}>
        <div>
          <dt>Code</dt>
          <dd>
            <code>{error.code}</code>
          </dd>
        </div>
        <div>
          <dt>Reference</dt>
          <dd>
            <CopyableText label="reference" value={error.reference} />
          </dd>
        </div>
      </dl>
      {error.operator_detail && (
        <Disclosure title="Technical detail" level={4}>
          <p>
            <code>{error.operator_detail}</code>
          </p>
          <p>
            Request <code>{error.request_id}</code>
          </p>
        </Disclosure>
      )}
    </Notice>
  )
}
