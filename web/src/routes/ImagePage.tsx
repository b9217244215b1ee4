import { useQuery } from '@tanstack/react-query'
import { Link, useNavigate, useParams } from '@tanstack/react-router'
import { LogOut, Rocket } from 'lucide-react'
import { useState } from 'react'
import { usePollInterval } from '@/api/live'
import { useLocationName } from '@/api/queries/catalogue'
import { imageQuery } from '@/api/queries/images'
import { useNames } from '@/api/queries/names'
import { useAccount } from '@/api/queries/session'
import { taskQuery } from '@/api/queries/tasks'
import type { Image } from '@/api/types'
import { ImageExports } from '@/features/exports/ImageExports'
import { deployReason, imageActions, scopeOf } from '@/features/images/actions'
import { ImageFacts } from '@/features/images/ImageFacts'
import { ImageInside } from '@/features/images/ImageInside'
import { ImageStatusBadge, ProtectedBadge } from '@/features/images/ImageStatusBadge'
import { ImageShares } from '@/features/sharing/ImageShares'
import { LeaveDialog } from '@/features/sharing/ShareDialogs'
import { TaskList } from '@/features/tasks/TaskList'
import { asProblem } from '@/lib/problem'
import { Button } from '@/ui/Button'
import { RowMenu } from '@/ui/Menu'
import { Notice } from '@/ui/Notice'
import { MutedText, PageHeader, Skeleton, Stack } from '@/ui/Page'
import { Tags } from '@/ui/Tags'
import { MissingPage } from './NotFoundPage'
import { ProblemPage } from './ProblemPage'
import { useImageCommands } from './use-image-commands'
import { useTitle } from './use-title'

export function ImagePage() {
  const { id } = useParams({ from: '/shell/images/$id' })
  const refetchInterval = usePollInterval()
  const { data: image, error, isPending, refetch } = useQuery({ ...imageQuery(id), refetchInterval })
  useTitle(image?.name ?? 'Image')
  if (isPending) return <Skeleton label="Loading the image" />
  if (!image) {
    const problem = asProblem(error)
    const back = <Link to="/images">My Images</Link>
    return problem.status === 404 || problem.status === 400 ? (
      <MissingPage what="Image" back={back} />
    ) : (
      <ProblemPage title="Image" back={back} problem={problem} onRetry={() => void refetch()} />
    )
  }
  return <ImageView image={image} />
}

function ImageView({ image }: { image: Image }) {
  const navigate = useNavigate()
  const locationName = useLocationName()
  const names = useNames({ instances: [image.source_instance?.id] })
  const refetchInterval = usePollInterval()
  const task = useQuery({
    ...taskQuery(image.task_id ?? ''),
    enabled: image.task_id != null,
    refetchInterval,
  })
  const { commands, dialog } = useImageCommands(() => void navigate({ to: '/images' }))
  const scope = scopeOf(image)
  const isMine = scope === 'own'
  const isAdmin = useAccount().data?.role === 'admin'
  const [isLeaving, setLeaving] = useState(false)
  return (
    <Stack>
      <PageHeader
        back={<BackLink scope={scope} />}
        title={image.name}
        status={
          <>
            <ImageStatusBadge image={image} task={task.data} /> <ProtectedBadge image={image} />
          </>
        }
        actions={
          <>
            <Button
              variant="primary"
              icon={<Rocket />}
              reason={deployReason(image)}
              onPress={() => commands.deploy(image)}
            >
              Create instance
            </Button>
            {isMine && (
              <RowMenu
                label="More actions"
                actions={imageActions(image, commands).filter(({ id }) => id !== 'deploy')}
              />
            )}
            {image.shared && (
              <RowMenu
                label="More actions"
                actions={[
                  {
                    id: 'leave',
                    label: 'Give up',
                    icon: <LogOut />,
                    onAction: () => setLeaving(true),
                    danger: true,
                  },
                ]}
              />
            )}
          </>
        }
      >
        {image.description}
      </PageHeader>
      {isMine && (
        <Tags
          label={`Tags of ${image.name}`}
          tags={image.tags}
          action="Show images with the tag"
          onPress={(tag) => void navigate({ to: '/images', search: { tag } })}
        />
      )}
      {isMine && image.removal_failed && (
        <Notice
          tone="bad"
          title="The image could not be removed"
          actions={<Button onPress={() => commands.remove(image)}>Delete again</Button>}
        >
          <p>Its task below says why. It is tried again every ten minutes, or at once with Delete again.</p>
        </Notice>
      )}
      {isMine && image.status !== 'available' && <ImageTasks id={image.id} />}
      <ImageFacts image={image} location={locationName(image.location_id)} names={names} />
      <ImageInside image={image} />
      {isMine && image.status === 'available' && (
        <>
          <ImageExports image={image} />
          <ImageShares image={image} />
          <ImageTasks id={image.id} />
        </>
      )}
      {scope === 'stock' && isAdmin && <ImageExports image={image} />}
      {dialog}
      {isLeaving && image.shared && (
        <LeaveDialog
          share={{ id: image.shared.share_id, owner: image.shared.owner, name: image.name }}
          onClose={() => setLeaving(false)}
          onLeft={() => void navigate({ to: '/images', search: { tab: 'shared' } })}
        />
      )}
    </Stack>
  )
}

/** Links to the list that an image is part of. */
function BackLink({ scope }: { scope: ReturnType<typeof scopeOf> }) {
  switch (scope) {
    case 'own':
      return <Link to="/images">My Images</Link>
    case 'shared':
      return (
        <Link to="/images" search={{ tab: 'shared' }}>
          Shared with me
        </Link>
      )
    case 'stock':
      return <Link to="/instances/new">Stock images</Link>
  }
}

/** The image's tasks: above the details until the image is available, below them afterwards. */
function ImageTasks({ id }: { id: string }) {
  return (
    <section aria-labelledby="image-tasks">
      <Stack tight>
        <h2 id="image-tasks">Tasks</h2>
        <TaskList filter={{ image_id: id }} empty={<MutedText>This image has no tasks.</MutedText>} />
      </Stack>
    </section>
  )
}
