/** The labels of exports. */
import type { ExportCreate, ImageExport } from '@/api/types'
import type { Tone } from '@/ui/Status'

interface FormLabels {
  id: string
  label: string
  /** Who reads it, in a sentence. */
  help: string
  body: Pick<ExportCreate, 'format' | 'options'>
}

/** What can be chosen: a format with its options. */
export const FORMS: readonly [FormLabels, ...FormLabels[]] = [
  {
    id: 'qcow2',
    label: 'qcow2',
    help: 'For QEMU, KVM, Proxmox and OpenStack. Compressed, so it is the smallest.',
    body: { format: 'qcow2', options: { compression: 'zlib' } },
  },
  {
    id: 'qcow2-plain',
    label: 'qcow2, not compressed',
    help: 'For QEMU, KVM, Proxmox and OpenStack. Ready to be used as a disk.',
    body: { format: 'qcow2', options: { compression: 'none' } },
  },
  {
    id: 'vhdx',
    label: 'VHDX',
    help: 'For Hyper-V from Windows Server 2012 on.',
    body: { format: 'vhdx' },
  },
  {
    id: 'vhd',
    label: 'VHD, dynamic',
    help: 'For older Hyper-V, XenServer and Virtual PC. Only data takes room.',
    body: { format: 'vhd', options: { variant: 'dynamic' } },
  },
  {
    id: 'vhd-fixed',
    label: 'VHD, fixed',
    help: 'For Azure. The file is as large as the disk.',
    body: { format: 'vhd', options: { variant: 'fixed' } },
  },
  {
    id: 'vmdk',
    label: 'VMDK',
    help: 'For VMware: a disk to be imported into vSphere, Workstation or Fusion.',
    body: { format: 'vmdk' },
  },
  {
    id: 'ova',
    label: 'OVA',
    help: 'For VMware and VirtualBox: a machine with the disk, to be imported as a whole.',
    body: { format: 'ova' },
  },
  { id: 'vdi', label: 'VDI', help: 'For VirtualBox.', body: { format: 'vdi' } },
  {
    id: 'raw',
    label: 'Raw',
    help: 'The bytes of the disk and nothing else. The file is as large as the disk.',
    body: { format: 'raw' },
  },
]

/** Returns the labels of a chosen form. */
export const formOf = (id: string): FormLabels => FORMS.find((form) => form.id === id) ?? FORMS[0]

/** Returns what an export is called, such as `VHD, fixed`. */
export function formName(made: Pick<ImageExport, 'format' | 'variant' | 'compression'>): string {
  const same = FORMS.find(
    ({ body }) =>
      body.format === made.format &&
      (body.options?.variant ?? null) === made.variant &&
      (body.options?.compression ?? null) === made.compression,
  )
  return same?.label ?? [made.format, made.variant ?? made.compression].filter(Boolean).join(', ')
}

const STATUSES: Record<ImageExport['status'], { name: string; tone: Tone }> = {
  creating: { name: 'Being made', tone: 'busy' },
  available: { name: 'Ready', tone: 'good' },
  error: { name: 'Failed', tone: 'bad' },
  deleting: { name: 'Being removed', tone: 'idle' },
}

export const statusOf = (made: Pick<ImageExport, 'status'>) => STATUSES[made.status]
