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
      {error.support && <Support support={error.support} />}
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

/** How the provider's support is reached, and where it says what does not work. */
function Support({ support }: { support: NonNullable<TaskError['support']> }) {
  return (
    <>
      {support.text && <p>{toSentence(support.text)}</p>}
      {(support.url || support.status_url) && (
        <p>
          {support.url && (
            <a href={support.url} target="_blank" rel="noreferrer">
              Contact support
            </a>
          )}
          {support.url && support.status_url && ' · '}
          {support.status_url && (
            <a href={support.status_url} target="_blank" rel="noreferrer">
              System status
            </a>
          )}
        </p>
      )}
    </>
  )
}
