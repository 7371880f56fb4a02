/** The limits of augmentation. The last word of a name is the unit; zoom is a ratio. */

/** Maximum shift. A digit of MNIST fills 20 of 28 pixels: beyond 8 it leaves the image. */
export const MAX_SHIFT_PIXELS = 8;
/** Maximum rotation to either side: half a turn already gives every direction. */
export const MAX_ROTATE_DEGREES = 180;
/** Maximum zoom: an image of half or one and a half times the size hardly fits what it shows. */
export const MAX_ZOOM = 0.5;
/**
 * Maximum number of rows and columns of an augmented image. Coordinates have 32 bits: 17 for the
 * fraction, and 14 for every place that such an image can be turned and zoomed to.
 */
export const MAX_AUGMENTED_PIXELS = 4096;
