/** Locations and hypervisors with their settings. For admins only. */
import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { client, unwrap } from '../client'
import { keys } from '../keys'
import type { AdminHypervisor, AdminLocation, HypervisorPatch, LocationPatch } from '../types'

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

/** The most hypervisors of a list. */
const MAX_HYPERVISORS = 500

export const adminHypervisorsQuery = queryOptions({
  queryKey: keys.adminHypervisors,
  queryFn: async ({ signal }) =>
    (
      await unwrap(
        client.GET('/api/v1/admin/hypervisors', { params: { query: { limit: MAX_HYPERVISORS } }, signal }),
      )
    ).items,
})

export function useEditHypervisor() {
  const cache = useQueryClient()
  return useMutation({
    mutationFn: ({ hypervisor, patch }: { hypervisor: AdminHypervisor; patch: HypervisorPatch }) =>
      unwrap(
        client.PATCH('/api/v1/admin/hypervisors/{id}', {
          params: { path: { id: hypervisor.id }, header: { 'If-Match': `"${hypervisor.version}"` } },
          body: patch,
          headers: { 'Content-Type': 'application/merge-patch+json' },
        }),
      ),
    // Also after a refusal: the version that was refused is out of date.
    onSettled: () => cache.invalidateQueries({ queryKey: keys.adminHypervisors }),
  })
}

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
          params: { path: { id: location.id }, header: { 'If-Match': `"${location.version}"` } },
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
