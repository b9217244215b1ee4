/** The provider's locations and hypervisors. Both lists are short and are not paged. */
import { queryOptions, useQuery } from '@tanstack/react-query'
import { client, unwrap } from '../client'
import { keys } from '../keys'

export const locationsQuery = queryOptions({
  queryKey: keys.locations,
  queryFn: async ({ signal }) => (await unwrap(client.GET('/api/v1/locations', { signal }))).items,
})

export const hypervisorsQuery = queryOptions({
  queryKey: keys.hypervisors,
  queryFn: async ({ signal }) => (await unwrap(client.GET('/api/v1/hypervisors', { signal }))).items,
})

export const useLocations = () => useQuery(locationsQuery)
export const useHypervisors = () => useQuery(hypervisorsQuery)

/**
 * Returns a function from a location's id to its name; to the id itself while the name is unknown.
 */
export function useLocationName(): (id: string) => string {
  const { data } = useLocations()
  return (id) => data?.find((location) => location.id === id)?.name ?? id
}
