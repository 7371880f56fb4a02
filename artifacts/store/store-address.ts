import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expandHome } from '../../shared/disk/cache-directory.ts';
import { ClusterError } from '../../shared/errors.ts';
import { MAX_STORE_KEY_BYTES } from '../../shared/limits.ts';

/** The address of a store. */
export type StoreAddress =
  | { readonly kind: 'file'; readonly directory: string }
  /** The prefix begins and ends without a slash; it may be empty. */
  | { readonly kind: 's3'; readonly bucket: string; readonly prefix: string };

const ALLOWED =
  'allowed: file:DIR, or s3://BUCKET/PREFIX (AWS_ENDPOINT_URL for a server other than Amazon S3)';
// Amazon's rules for new buckets; they exclude paths and users.
const BUCKET = /^(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
// Control characters, a backslash, "?" and "#" are not allowed in a prefix.
// oxlint-disable-next-line no-control-regex -- the pattern finds them
const UNSAFE = /[\u0000-\u001f\u007f\\?#]/;

/** Whether a string is the URI of a store, rather than a file or a run on this machine. */
export function isStoreUri(text: string): boolean {
  return /^(?:file|s3):/i.test(text);
}

/**
 * Parses a store URI: `file:DIR` (a path; a relative one starts at the working directory),
 * `file:///DIR` (with the escapes of a URL), `s3://BUCKET` or `s3://BUCKET/PREFIX`. Throws USAGE if
 * it is invalid.
 */
export function parseStoreUri(uri: string): StoreAddress {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(uri)?.[1]?.toLowerCase();
  if (scheme === 'file') return { kind: 'file', directory: resolve(pathOf(uri)) };
  if (scheme === 's3') return bucketOf(uri);
  // KEY:SECRET@BUCKET has no scheme.
  if (scheme !== undefined && (!uri.includes('@') || uri.startsWith('://', scheme.length)))
    throw refused(uri, `${scheme}: is not a supported scheme`);
  const hint = uri === '' || uri.includes('@') ? '' : `did you mean file:${uri}?`;
  throw refused(uri, 'its scheme is missing', hint);
}

/** A URI for messages, without the user, key or secret before an "@". */
export function withoutUser(uri: string): string {
  return uri.replace(/^[^]*@/, '...@');
}

/** How to set the access key and its secret. */
export const CREDENTIALS = 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE';

/** The URI of an address, or of a file in it. */
export function uriOf(address: StoreAddress, name = ''): string {
  if (address.kind === 'file') return `file:${join(address.directory, name)}`;
  const key = keyOf(address, name);
  return `s3://${address.bucket}${key === '' ? '' : `/${key}`}`;
}

/** The address of a folder in a store. */
export function folderIn(address: StoreAddress, name: string): StoreAddress {
  if (address.kind === 'file') return { ...address, directory: join(address.directory, name) };
  return { ...address, prefix: keyOf(address, name) };
}

/** The key under which a name is stored in its bucket. */
export function keyOf({ prefix }: { readonly prefix: string }, name: string): string {
  return [prefix, name].filter((part) => part !== '').join('/');
}

function pathOf(uri: string): string {
  const rest = uri.slice('file:'.length);
  if (uri.includes('\0')) throw refused(uri, 'it contains a NUL character');
  if (rest === '') throw refused(uri, 'the folder is missing');
  if (!rest.startsWith('//')) return expandHome(rest);
  // A path may contain "%00", but a URL has a NUL character there.
  if (uri.includes('%00')) throw refused(uri, 'it contains a NUL character');
  try {
    return fileURLToPath(uri);
  } catch (error) {
    throw refused(
      uri,
      'it is not a folder on this machine',
      'an absolute path needs three slashes: file:///DIR;',
      error,
    );
  }
}

function bucketOf(uri: string): StoreAddress {
  const [, bucket = '', rest = ''] = /^s3:\/\/([^/]*)\/?([^]*)$/i.exec(uri) ?? [];
  if (bucket === '') throw refused(uri, 'the bucket is missing');
  if (!BUCKET.test(bucket) && uri.includes('@'))
    throw refused(
      uri,
      'it must not contain a user or a secret',
      `to provide them, ${CREDENTIALS};`,
    );
  if (!BUCKET.test(bucket))
    throw refused(
      uri,
      `"${bucket}" is not a valid bucket name`,
      'a bucket name has 3 to 63 characters of a-z, 0-9, "." and "-";',
    );
  const prefix = rest.replace(/\/$/, '');
  const parts = prefix === '' ? [] : prefix.split('/');
  if (UNSAFE.test(prefix))
    throw refused(uri, 'a prefix must not contain a control character, "\\", "?" or "#"');
  if (parts.some((part) => part === '' || part === '.' || part === '..'))
    throw refused(uri, 'a prefix must not have an empty part, "." or ".."');
  if (Buffer.byteLength(prefix) > MAX_STORE_KEY_BYTES / 2)
    throw refused(uri, `a prefix has at most ${MAX_STORE_KEY_BYTES / 2} bytes`);
  return { kind: 's3', bucket, prefix };
}

function refused(uri: string, why: string, hint = '', cause?: unknown): ClusterError {
  const shown = JSON.stringify(withoutUser(uri).slice(0, 200));
  return new ClusterError('USAGE', `${shown} is not a store: ${why}`, {
    fix: hint === '' ? ALLOWED : `${hint} ${ALLOWED}`,
    ...(cause === undefined ? {} : { cause }),
  });
}
