/** What is proposed for the image that is made of a file. */

import { MAX_NAME_CHARS } from './name'

/** The formats of image files, with the extensions that stand for them. */
const FORMATS: Record<string, readonly string[]> = {
  qcow2: ['qcow2', 'qcow'],
  raw: ['raw', 'img'],
  vhd: ['vhd', 'vpc'],
  vhdx: ['vhdx'],
  vmdk: ['vmdk'],
  vdi: ['vdi'],
  ova: ['ova'],
}

export const formatChoices = Object.keys(FORMATS).map((id) => ({ id, label: id }))

const baseName = (key: string): string => key.slice(key.lastIndexOf('/') + 1)

/** Returns the format that a key's extension stands for, or `null`. */
export function formatOfKey(key: string): string | null {
  const extension = /\.([^.]+)$/.exec(baseName(key))?.[1]?.toLowerCase() ?? ''
  return Object.keys(FORMATS).find((format) => FORMATS[format]?.includes(extension)) ?? null
}

/** The extensions of packed files. */
const PACKED = /\.(gz|xz|zst|bz2)$/i

/** Returns a name for the image that is made of a file: without folders, packing and extension. */
export const nameOfFile = (name: string): string => nameOfKey(name.replace(PACKED, ''))

/** Returns a name for the image: the key without its folders and its extension. */
export function nameOfKey(key: string): string {
  const base = baseName(key)
  const name = formatOfKey(key) ? base.slice(0, base.lastIndexOf('.')) : base
  return [...name].slice(0, MAX_NAME_CHARS).join('')
}
