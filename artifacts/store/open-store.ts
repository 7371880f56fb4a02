import type { StoreAddress } from './store-address.ts';
import { FileStore } from './file-store.ts';
import type { RetryPolicy } from './retry.ts';
import type { Store } from './store.ts';

/** Opens the store at an address without sending a request. The S3 client is loaded only for S3. */
export async function openStore(address: StoreAddress, retryPolicy: RetryPolicy): Promise<Store> {
  if (address.kind === 'file') return new FileStore(address, retryPolicy);
  const { openS3Store } = await import('./s3-store.ts');
  return await openS3Store(address, retryPolicy);
}
