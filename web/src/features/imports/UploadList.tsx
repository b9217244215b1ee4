import { Link } from '@tanstack/react-router'
import { useRef } from 'react'
import { cancelUpload, pauseUpload, resumeUpload, type Upload, useUploads } from '@/api/uploads'
import { formatBytes, formatDuration, formatRate, percentOf } from '@/lib/format'
import { toSentence } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { ButtonRow, Card, MutedText, Stack } from '@/ui/Page'
import { Progress } from '@/ui/Progress'

/** The uploads of this browser; nothing without any. */
export function UploadList() {
  const uploads = useUploads()
  if (uploads.length === 0) return null
  return (
    <Card title="Uploads">
      <Stack>
        {uploads.map((upload) => (
          <UploadRow key={upload.imageId} upload={upload} />
        ))}
      </Stack>
    </Card>
  )
}

function UploadRow({ upload }: { upload: Upload }) {
  const { imageId, name, fileName, state, received, size } = upload
  return (
    <Stack tight>
      <p>
        <Link to="/images/$id" params={{ id: imageId }}>
          {name}
        </Link>
      </p>
      <MutedText>{fileName}</MutedText>
      <Progress
        label={`Upload of ${fileName}`}
        percent={percentOf(received, size)}
        tone={state === 'sending' ? 'busy' : state === 'failed' ? 'bad' : 'idle'}
      />
      <p role="status">{progressText(upload)}</p>
      {upload.problem && <p role="alert">{toSentence(upload.problem)}</p>}
      <ButtonRow>
        {state === 'sending' && <Button onPress={() => pauseUpload(imageId)}>Pause</Button>}
        {(state === 'paused' || state === 'failed') && (
          <Button variant="primary" onPress={() => resumeUpload(imageId)}>
            Continue
          </Button>
        )}
        {state === 'waiting' && <ChooseAgain upload={upload} />}
        <Button variant="quiet" onPress={() => void cancelUpload(imageId)}>
          Cancel upload
        </Button>
      </ButtonRow>
    </Stack>
  )
}

/** After a reload, the browser has to be given the file again. */
function ChooseAgain({ upload }: { upload: Upload }) {
  const input = useRef<HTMLInputElement>(null)
  return (
    <>
      <input
        ref={input}
        type="file"
        className="visually-hidden"
        tabIndex={-1}
        aria-label={`File of ${upload.name}`}
        onChange={(event) => {
          const file = event.target.files?.[0]
          if (file) resumeUpload(upload.imageId, file)
        }}
      />
      <Button variant="primary" onPress={() => input.current?.click()}>
        Choose {upload.fileName} again
      </Button>
    </>
  )
}

/** Returns how far an upload is, as a sentence. */
export function progressText({ state, received, size, rate }: Upload): string {
  const arrived = `${formatBytes(received)} of ${formatBytes(size)}`
  switch (state) {
    case 'sending': {
      if (!rate || rate <= 0) return arrived
      return `${arrived}, ${formatRate(rate)}, ${formatDuration((size - received) / rate)} left`
    }
    case 'paused':
      return `${arrived}, paused`
    case 'waiting':
      return `${arrived}; the page was reloaded. What has arrived is kept for two days.`
    case 'failed':
      return `${arrived}, stopped`
  }
}
