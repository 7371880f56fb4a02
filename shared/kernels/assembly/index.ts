// The functions that kernels.ts binds; reference-kernels.ts and reference-augment.ts define them in
// plain TypeScript.
// Addresses are in bytes, counts are in floats.
export { adam } from './adam';
export { augment } from './augment';
export { check, lastFinite } from './check';
export { mask } from './mask';
export { pixels } from './pixels';
export { decay, scale } from './scale';
export { sgd, sgdMomentum } from './sgd';
export { sumOfSquares } from './squares';
export { add, addZero } from './sum';
export { checksum } from './xxh64';
