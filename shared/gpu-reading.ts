import { z } from 'zod';
import { MAX_GPUS, MAX_GPU_WATTS } from './limits.ts';

const bytes = z.int().min(0).max(Number.MAX_SAFE_INTEGER).optional();

/** How one GPU is doing; what its driver does not tell is left out. */
export const gpuReading = z.strictObject({
  /** As nvidia-smi numbers it: in the order of the PCI bus. */
  index: z
    .int()
    .min(0)
    .max(MAX_GPUS - 1),
  /** Share of lately in which it was busy. */
  utilization: z.number().min(0).max(1).optional(),
  memoryUsedBytes: bytes,
  memorySizeBytes: bytes,
  temperatureCelsius: z.number().min(-273.15).max(1000).optional(),
  powerWatts: z.number().min(0).max(MAX_GPU_WATTS).optional(),
});

export type GpuReading = z.infer<typeof gpuReading>;
