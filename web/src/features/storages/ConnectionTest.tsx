import { useQuery } from '@tanstack/react-query'
import { PlugZap } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { type TestSubject, useTestStorage } from '@/api/queries/storages'
import { taskQuery } from '@/api/queries/tasks'
import type { StorageTest } from '@/api/types'
import { asProblem, type Problem, toSentence } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { SelectField } from '@/ui/Field'
import { Notice, ProblemNotice } from '@/ui/Notice'
import { ButtonRow, MutedText, Stack } from '@/ui/Page'
import { Progress } from '@/ui/Progress'
import { Status } from '@/ui/Status'
import styles from './ConnectionTest.module.css'
import { isPending, STEP_STATUSES, STEPS, type StepLine, stepLines } from './connection-test'
import { labelIn, type SettingField } from './schema-fields'

const POLL_MS = 500

export interface ConnectionTestProps {
  hypervisors: readonly { id: string; name: string }[]
  /** Returns what is tested, or `null` while it cannot be. */
  subject: () => TestSubject | null
  /** The settings of the storage's kind, for their labels; none while they are not known. */
  fields: readonly SettingField[]
  onResult?: (test: StorageTest) => void
  /** The test was refused, or has been started when there is no problem. */
  onRefusal?: (problem: Problem | null) => void
}

/** Tries an image storage from a hypervisor: each step with what went wrong and what to do. */
export function ConnectionTest({ hypervisors, subject, fields, onResult, onRefusal }: ConnectionTestProps) {
  const [chosen, setChosen] = useState('')
  const [taskId, setTaskId] = useState('')
  const hypervisorId = hypervisors.some(({ id }) => id === chosen) ? chosen : (hypervisors[0]?.id ?? '')
  const start = useTestStorage()
  const task = useQuery({
    ...taskQuery(taskId),
    enabled: taskId !== '',
    refetchInterval: ({ state }) => (state.data && !isPending(state.data) ? false : POLL_MS),
  })
  const test = task.data?.storage_test ?? null
  const isRunning =
    start.isPending || (taskId !== '' && !task.isError && (!task.data || isPending(task.data)))
  const latest = useRef(onResult)
  latest.current = onResult
  useEffect(() => {
    if (test) latest.current?.(test)
  }, [test])
  const run = () => {
    const tested = subject()
    if (!tested) return
    setTaskId('')
    start.mutate(
      { subject: tested, hypervisorId },
      {
        onSuccess: ({ id }) => {
          setTaskId(id)
          onRefusal?.(null)
        },
        onError: (error) => onRefusal?.(asProblem(error)),
      },
    )
  }
  return (
    <Stack tight>
      <SelectField
        label="Tested from"
        choices={hypervisors.map(({ id, name }) => ({ id, label: name }))}
        value={hypervisorId}
        onChange={setChosen}
        help="Its agent opens the storage, and writes, lists, reads and deletes an object of 1 MiB."
      />
      <ButtonRow>
        <Button
          icon={<PlugZap />}
          busy={isRunning}
          onPress={run}
          reason={hypervisorId === '' ? 'There is no hypervisor that can test it.' : null}
        >
          Test connection
        </Button>
      </ButtonRow>
      <div aria-live="polite">
        {isRunning && <Progress label="Connection test" percent={null} />}
        {!isRunning && test && <TestResult test={test} fields={fields} />}
      </div>
      {start.isError && <ProblemNotice problem={asProblem(start.error)} />}
      {task.isError && <ProblemNotice problem={asProblem(task.error)} />}
      {!isRunning && task.data && !test && (
        <Notice tone="bad" role="alert" title={task.data.error?.title ?? 'The test was cancelled'}>
          {task.data.error && (
            <>
              <p>{toSentence(task.data.error.detail)}</p>
              <p>{toSentence(task.data.error.action)}</p>
            </>
          )}
        </Notice>
      )}
    </Stack>
  )
}

function TestResult({ test, fields }: { test: StorageTest } & Pick<ConnectionTestProps, 'fields'>) {
  return (
    <Stack tight>
      {test.passed ? (
        <Notice title="The connection works" />
      ) : (
        <Notice tone="bad" title="The connection does not work yet" />
      )}
      <ul className={styles.steps} aria-label="Steps of the test">
        {stepLines(test).map((line) => (
          <Step key={line.result.step} line={line} fields={fields} />
        ))}
      </ul>
    </Stack>
  )
}

function Step({ line, fields }: { line: StepLine } & Pick<ConnectionTestProps, 'fields'>) {
  const step = line.result
  const { label, tone } = STEP_STATUSES[step.status]
  const isFailed = step.status === 'failed'
  return (
    <li className={`${styles.step} ${isFailed ? styles.failed : ''}`}>
      <span>
        <Status tone={tone}>{label}</Status>
      </span>
      <span>{line.steps.map((name) => STEPS[name]).join(', ')}</span>
      <span className={styles.time}>{step.status !== 'skipped' && `${step.duration_ms} ms`}</span>
      {(step.detail || step.setting) && (
        <p className={styles.detail}>
          {step.detail && toSentence(step.detail)}
          {isFailed && step.setting && <strong> Setting: {labelIn(fields, step.setting)}.</strong>}
          {isFailed && step.code && (
            <MutedText>
              {' '}
              <code>{step.code}</code>
            </MutedText>
          )}
        </p>
      )}
    </li>
  )
}
