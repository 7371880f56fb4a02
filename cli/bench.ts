import type { BenchOptions } from './options.ts';
export async function bench(_options: BenchOptions): Promise<number> {
  return await Promise.resolve(1);
}
