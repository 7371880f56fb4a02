import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ClusterError } from '../../shared/errors.ts';
import { MAX_STORE_KEY_BYTES } from '../../shared/limits.ts';

/** Where a store is. */
export type StoreAddress =
  | { readonly kind: 'file'; readonly directory: string }
  /** The prefix has no slash at its ends; it may be empty. */
  | { readonly kind: 's3'; readonly bucket: string; readonly prefix: string };

const ALLOWED =
  'Allowed: file:DIR, or s3://BUCKET/PREFIX (AWS_ENDPOINT_URL names another server than Amazon).';
// Amazon's rules for new buckets; they leave nothing that could be a path or a user.
const BUCKET = /^(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
// What no key of ours holds: control characters, a backslash, and what other URIs mean something by.
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const UNSAFE = /[\u0000-\u001f\u007f\\?#]/;

/** Whether somebody means a store, and not a file or a run of this machine. */
export function isStoreUri(text: string): boolean {
  return /^(?:file|s3):/i.test(text);
}

/**
 * The address that a URI gives: `file:DIR` (a path as it stands, relative to the working
 * directory), `file:///DIR` (with the escapes of a URL), `s3://BUCKET` or `s3://BUCKET/PREFIX`.
 * Throws USAGE, naming it.
 */
export function parseStoreUri(uri: string): StoreAddress {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(uri)?.[1]?.toLowerCase();
  if (scheme === 'file') return { kind: 'file', directory: resolve(pathOf(uri)) };
  if (scheme === 's3') return bucketOf(uri);
  // KEY:SECRET@BUCKET begins with none.
  if (scheme !== undefined && (!uri.includes('@') || uri.startsWith('://', scheme.length)))
    throw refused(uri, `there is no store of kind ${scheme}:`);
  const hint = uri === '' || uri.includes('@') ? '' : `Did you mean file:${uri}? `;
  throw refused(uri, 'it does not say of which kind it is', hint);
}

/**
 * A URI as it may be shown: what stands before an "@" is a user, a key or a secret, put there by
 * mistake.
 */
export function withoutUser(uri: string): string {
  return uri.replace(/^[^]*@/, '...@');
}

/** Where they come from instead. */
export const CREDENTIALS = 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE';

/** The same as a URI. */
export function uriOf(address: StoreAddress, name = ''): string {
  if (address.kind === 'file') return `file:${join(address.directory, name)}`;
  const key = keyOf(address, name);
  return `s3://${address.bucket}${key === '' ? '' : `/${key}`}`;
}

/** A folder in it. */
export function folderIn(address: StoreAddress, name: string): StoreAddress {
  if (address.kind === 'file') return { ...address, directory: join(address.directory, name) };
  return { ...address, prefix: keyOf(address, name) };
}

/** What a name of the store is called in its bucket. */
export function keyOf({ prefix }: { readonly prefix: string }, name: string): string {
  return [prefix, name].filter((part) => part !== '').join('/');
}

function pathOf(uri: string): string {
  const rest = uri.slice('file:'.length);
  if (uri.includes('\0')) throw refused(uri, 'it holds a NUL character');
  if (rest === '') throw refused(uri, 'the folder is missing');
  if (!rest.startsWith('//')) return rest;
  try {
    return fileURLToPath(uri);
  } catch (error) {
    throw refused(
      uri,
      'it names no folder of this machine',
      'Three slashes begin a path: file:///DIR. ',
      error,
    );
  }
}

function bucketOf(uri: string): StoreAddress {
  const [, bucket = '', rest = ''] = /^s3:\/\/([^/]*)\/?([^]*)$/i.exec(uri) ?? [];
  if (bucket === '') throw refused(uri, 'the bucket is missing');
  if (!BUCKET.test(bucket) && uri.includes('@'))
    throw refused(uri, 'a user and a secret have no place in it', `For them ${CREDENTIALS}. `);
  if (!BUCKET.test(bucket))
    throw refused(
      uri,
      `"${bucket}" is no name of a bucket`,
      'One has 3 to 63 of a-z, 0-9, "." and "-". ',
    );
  const prefix = rest.replace(/\/$/, '');
  const parts = prefix === '' ? [] : prefix.split('/');
  if (UNSAFE.test(prefix))
    throw refused(uri, 'a prefix holds no control character, no "\\", "?" or "#"');
  if (parts.some((part) => part === '' || part === '.' || part === '..'))
    throw refused(uri, 'a prefix has no empty part, no "." and no ".."');
  if (Buffer.byteLength(prefix) > MAX_STORE_KEY_BYTES / 2)
    throw refused(uri, `a prefix has at most ${MAX_STORE_KEY_BYTES / 2} bytes`);
  return { kind: 's3', bucket, prefix };
}

function refused(uri: string, why: string, hint = '', cause?: unknown): ClusterError {
  const shown = JSON.stringify(withoutUser(uri).slice(0, 200));
  return new ClusterError('USAGE', `${shown} is no store: ${why}`, {
    fix: `${hint}${ALLOWED}`,
    ...(cause === undefined ? {} : { cause }),
  });
}
