import { setFlagsFromString } from 'node:v8';

/**
 * Every message that comes brings half a megabyte outside of V8's heap. V8 takes that for a heap that grows fast and
 * marks it over and over, on threads that the engines need: a fifth of a step. The heap itself is small and hardly
 * changes, so marking it in one go, when it has really grown, costs a few milliseconds a minute.
 */
export function quietGarbageCollection(): void {
  setFlagsFromString('--no-incremental-marking');
}
