import { MAX_AUGMENTED_PIXELS } from '../limits/augment.ts';
import type { ModelShape } from './model-shape.ts';

/** How far the training images may be moved at random, each time they are used. */
export interface Augment {
  /** Maximum distance along each axis, in pixels. */
  readonly shift: number;
  /** Maximum angle to either side, in degrees. */
  readonly rotate: number;
  /** Maximum change of the distances in the image, as a fraction. */
  readonly zoom: number;
}

export const NO_AUGMENT: Augment = { shift: 0, rotate: 0, zoom: 0 };

/** The names of the parts, in the order in which they are written. */
export const augmentParts = ['shift', 'rotate', 'zoom'] as const;

/** Whether the augmentation changes anything. */
export function isAugmenting(augment: Augment): boolean {
  return augmentParts.some((part) => augment[part] > 0);
}

/** "shift=2,rotate=10,zoom=0.1", without the parts that are 0; "off" if all of them are. */
export function augmentText(augment: Augment): string {
  const parts = augmentParts.filter((part) => augment[part] > 0);
  return parts.map((part) => `${part}=${augment[part]}`).join(',') || 'off';
}

/** Whether the coordinates of an augmented image of this size fit in 32 bits. */
export function isAugmentable({ rows, columns }: Pick<ModelShape, 'rows' | 'columns'>): boolean {
  return Math.max(rows, columns) <= MAX_AUGMENTED_PIXELS;
}

/** The bounds of the random draws, as integers. */
export interface AugmentBounds {
  /** In 2^-16 pixels. */
  readonly shift: number;
  /** In 2^-16 turns. */
  readonly turn: number;
  /** In 2^-16. */
  readonly zoom: number;
}

/** Rounded to nearest, ties up. */
export function augmentBounds({ shift, rotate, zoom }: Augment): AugmentBounds {
  return {
    shift: Math.round(shift * 65_536),
    turn: Math.round((rotate * 65_536) / 360),
    zoom: Math.round(zoom * 65_536),
  };
}
