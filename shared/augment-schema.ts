import { z } from 'zod';
import { isAugmenting, type Augment } from './arithmetic/augment.ts';
import * as limits from './limits/augment.ts';

/** An augmentation that changes something. A recipe without any has no such field. */
export const augmentSchema = z
  .strictObject({
    shift: z.number().min(0).max(limits.MAX_SHIFT_PIXELS),
    rotate: z.number().min(0).max(limits.MAX_ROTATE_DEGREES),
    zoom: z.number().min(0).max(limits.MAX_ZOOM),
  })
  .refine((augment: Augment) => isAugmenting(augment), 'must have a part above 0');
