/**
 * The types of the API under short names. `schema.d.ts` is generated from the server's OpenAPI
 * document.
 */
import type { components } from './schema'

type Schemas = components['schemas']

export type Account = Schemas['Account']
export type Location = Schemas['Location']
export type AdminLocation = Schemas['AdminLocation']
export type LocationPatch = Schemas['LocationPatch']
export type AccountCreate = Schemas['AccountCreate']
export type AccountPatch = Schemas['AccountPatch']
export type Hypervisor = Schemas['Hypervisor']
export type AdminHypervisor = Schemas['AdminHypervisor']
export type HypervisorPatch = Schemas['HypervisorPatch']
export type Image = Schemas['Image']
export type ImageStatus = Image['status']
export type ImageCreate = Schemas['ImageCreate']
export type CaptureEstimate = Schemas['CaptureEstimate']
export type CaptureFormat = Schemas['CaptureFormat']
export type ImagePatch = Schemas['ImagePatch']
export type ImageFindings = Schemas['ImageFindings']
export type DiskFindings = Schemas['DiskFindings']
export type ImageAndTask = Schemas['ImageAndTask']
export type Share = Schemas['Share']
export type ShareState = Share['state']
export type ShareCreate = Schemas['ShareCreate']
export type ImageExport = Schemas['ImageExport']
export type ExportCreate = Schemas['ExportCreate']
export type ImageStorage = Schemas['ImageStorage']
export type ImageStorageCreate = Schemas['ImageStorageCreate']
export type ImageStoragePatch = Schemas['ImageStoragePatch']
export type StorageBinding = Schemas['StorageBinding']
export type StorageKind = Schemas['StorageKind']
export type StorageScan = Schemas['StorageScan']
export type StorageObject = Schemas['StorageObject']
export type ObjectClass = Schemas['ObjectClass']
export type ObjectAction = Schemas['ObjectAction']
export type StorageObjectAdopt = Schemas['StorageObjectAdopt']
export type StorageReconcile = Schemas['StorageReconcile']
export type ReconcileReport = Schemas['StorageReconcileReport']
export type ReconcileEntry = Schemas['StorageReconcileEntry']
export type StorageTest = Schemas['StorageTest']
export type StoredStorageTest = Schemas['StoredStorageTest']
export type StorageTestStep = Schemas['StorageTestStep']
export type StorageTestCreate = Schemas['StorageTestCreate']
export type MediaGroup = Schemas['MediaGroup']
export type MediaGroupCreate = Schemas['MediaGroupCreate']
export type MediaGroupPatch = Schemas['MediaGroupPatch']
export type StockImageCreate = Schemas['StockImageCreate']
export type StockImagePatch = Schemas['StockImagePatch']
export type SshKey = Schemas['SshKey']
export type Webhook = Schemas['Webhook']
export type WebhookAndSecret = Schemas['WebhookAndSecret']
export type WebhookDelivery = Schemas['WebhookDelivery']
export type WebhookPatch = Schemas['WebhookPatch']
export type UserScript = Schemas['UserScript']
export type UserScriptAndContent = Schemas['UserScriptAndContent']
export type Iso = Schemas['Iso']
export type AdminIso = Schemas['AdminIso']
export type IsoCreate = Schemas['IsoCreate']
export type IsoPatch = Schemas['IsoPatch']
export type Instance = Schemas['Instance']
export type InstanceCreate = Schemas['InstanceCreate']
export type InstanceReinstall = Schemas['InstanceReinstall']
export type Task = Schemas['Task']
export type TaskError = Schemas['TaskError']
export type TaskState = Task['state']
export type TaskKind = Task['kind']
export type Phase = Task['phase']
export type Money = Schemas['Money']
export type UsageLine = Schemas['UsageLine']
export type UsageSection = Schemas['UsageSection']
export type UsageAdjustment = Schemas['UsageAdjustment']
export type UsageReport = Schemas['UsageReport']
export type UsageDay = Schemas['UsageDay']
export type UsageDays = Schemas['UsageDays']
export type UsageTerm = Schemas['UsageTerm']
export type UsageExplanation = Schemas['UsageExplanation']
export type Budget = Schemas['Budget']
export type BudgetUpdate = Schemas['BudgetUpdate']
export type RateTerms = Schemas['RateTerms']
export type Rate = Schemas['Rate']
export type RateCreate = Schemas['RateCreate']
export type RateEnd = Schemas['RateEnd']
export type RatePreview = Schemas['RatePreview']
export type RatePreviewRequest = Schemas['RatePreviewRequest']
export type BillingUsage = Schemas['BillingUsage']
export type BillingMonth = Schemas['BillingMonth']
export type Adjustment = Schemas['Adjustment']
export type AdjustmentCreate = Schemas['AdjustmentCreate']
export type Reconciliation = Schemas['Reconciliation']

/** One page of a list. */
export interface Page<T> {
  items: T[]
  next_page_token?: string | null
}

/** Whether a task has ended: it changes only when it is retried. */
export function isFinal(state: TaskState): boolean {
  switch (state) {
    case 'queued':
    case 'running':
      return false
    case 'succeeded':
    case 'failed':
    case 'cancelled':
      return true
  }
}
