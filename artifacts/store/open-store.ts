import type { StoreAddress } from './store-address.ts';
import { FileStore } from './file-store.ts';
import type { RetryPolicy } from './retry.ts';
import type { Store } from './store.ts';

/**
 * The store at an address. Looks for no more than its settings; what serves S3 is loaded only for
 * that.
 */
export async function openStore(address: StoreAddress, retryPolicy: RetryPolicy): Promise<Store> {
  if (address.kind === 'file') return new FileStore(address, retryPolicy);
  const { openS3Store } = await import('./s3-store.ts');
  return await openS3Store(address, retryPolicy);
}
