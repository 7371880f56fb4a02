// The functions that kernels.ts binds; reference-kernels.ts defines them in plain TypeScript.
// Addresses are in bytes, counts are in floats.
export { adam } from './adam';
export { check, lastFinite } from './check';
export { mask } from './mask';
export { pixels } from './pixels';
export { decay, scale } from './scale';
export { sgd, sgdMomentum } from './sgd';
export { sumOfSquares } from './squares';
export { add, addZero } from './sum';
export { checksum } from './xxh64';
