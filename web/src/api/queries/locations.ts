/** Locations with their settings. For admins only. */
import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { client, unwrap } from '../client'
import { keys } from '../keys'
import type { AdminLocation, LocationPatch } from '../types'

/** The most locations of a list: a provider has some ten. */
const MAX_LOCATIONS = 500

export const adminLocationsQuery = queryOptions({
  queryKey: keys.adminLocations,
  queryFn: async ({ signal }) =>
    (
      await unwrap(
        client.GET('/api/v1/admin/locations', { params: { query: { limit: MAX_LOCATIONS } }, signal }),
      )
    ).items,
})

/** Returns a function that requests locations again, as admins and as customers see them. */
function useChanged(): () => void {
  const cache = useQueryClient()
  return () => {
    void cache.invalidateQueries({ queryKey: keys.adminLocations })
    void cache.invalidateQueries({ queryKey: keys.locations })
    // Whether an instance can be captured depends on its location.
    void cache.invalidateQueries({ queryKey: keys.instances.all })
  }
}

export function useEditLocation() {
  const changed = useChanged()
  return useMutation({
    mutationFn: ({ location, patch }: { location: AdminLocation; patch: LocationPatch }) =>
      unwrap(
        client.PATCH('/api/v1/admin/locations/{id}', {
          params: { path: { id: location.id } },
          body: patch,
          headers: { 'Content-Type': 'application/merge-patch+json' },
        }),
      ),
    onSettled: changed,
  })
}

export function useDeleteLocation() {
  const changed = useChanged()
  return useMutation({
    mutationFn: (location: AdminLocation) =>
      unwrap(client.DELETE('/api/v1/admin/locations/{id}', { params: { path: { id: location.id } } })),
    onSettled: changed,
  })
}
