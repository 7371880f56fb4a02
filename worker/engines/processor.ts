import { cpus } from 'node:os';

/** The processor's model as the system names it; an engine's bytes may depend on it. */
export function processorName(): string {
  return cpus()[0]?.model.trim().slice(0, 200) || process.arch;
}
