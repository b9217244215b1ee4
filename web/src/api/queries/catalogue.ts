/** What the provider offers: locations and hypervisors. Both are short lists. */
import { queryOptions, useQuery } from '@tanstack/react-query'
import { answer, client } from '../client'
import { keys } from '../keys'

export const locationsQuery = queryOptions({
  queryKey: keys.locations,
  queryFn: async ({ signal }) => (await answer(client.GET('/api/v1/locations', { signal }))).items,
})

export const hypervisorsQuery = queryOptions({
  queryKey: keys.hypervisors,
  queryFn: async ({ signal }) => (await answer(client.GET('/api/v1/hypervisors', { signal }))).items,
})

export const useLocations = () => useQuery(locationsQuery)
export const useHypervisors = () => useQuery(hypervisorsQuery)

/** Names by id; the id itself where the name is not known. */
export function useLocationName(): (id: string) => string {
  const { data } = useLocations()
  return (id) => data?.find((location) => location.id === id)?.name ?? id
}
