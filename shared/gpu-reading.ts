import { z } from 'zod';
import { MAX_GPUS, MAX_GPU_WATTS } from './limits.ts';

const bytes = z.int().min(0).max(Number.MAX_SAFE_INTEGER).optional();

/** A reading of one GPU. Values that its driver does not report are absent. */
export const gpuReading = z.strictObject({
  /** The GPU's index in nvidia-smi, which follows the order on the PCI bus. */
  index: z
    .int()
    .min(0)
    .max(MAX_GPUS - 1),
  /** Fraction of the last sample period during which the GPU was busy. */
  utilization: z.number().min(0).max(1).optional(),
  memoryUsedBytes: bytes,
  memorySizeBytes: bytes,
  temperatureCelsius: z.number().min(-273.15).max(1000).optional(),
  powerWatts: z.number().min(0).max(MAX_GPU_WATTS).optional(),
});

export type GpuReading = z.infer<typeof gpuReading>;
