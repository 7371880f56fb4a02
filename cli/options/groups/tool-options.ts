import * as limits from '../../../shared/limits.ts';
import { withDefault, withoutDefault } from '../option.ts';
import { flag, integer, integers, path } from '../value-types.ts';

export const setupOptions = {
  tensorflow: withoutDefault(path('DIR|WHEEL', 'a folder or a .whl file with TensorFlow'), {
    in: ['setup'],
    help: 'TensorFlow to use instead of the pinned wheel',
  }),
  gpu: withDefault(flag, false, {
    in: ['setup'],
    help: 'set up for CUDA (with neither --gpu nor --cpu: look for a GPU)',
  }),
  cpu: withDefault(flag, false, { in: ['setup'], help: 'set up for the CPU only' }),
  offline: withDefault(flag, false, {
    in: ['setup'],
    help: 'download nothing; report what is missing from the cache',
  }),
  repair: withDefault(flag, false, {
    in: ['setup'],
    help: 'remove damaged parts of the cache first; prints what it changes',
  }),
  fix: withDefault(flag, false, {
    in: ['doctor'],
    help: 'make the fixes that change only the cache; prints what it changes',
  }),
};

export const measuringOptions = {
  batchSizes: withDefault(integers({ min: 1, max: limits.MAX_BATCH_SIZE }, 16), [32, 256], {
    in: ['bench'],
    help: 'batch sizes to measure',
  }),
  workers: withDefault(integers({ min: 1, max: limits.MAX_WORKERS }, 16), [1, 2, 4], {
    in: ['bench'],
    help: 'worker counts to measure',
  }),
  pairs: withDefault(integer({ min: 1, max: 1000 }), 7, {
    in: ['bench'],
    help: 'interleaved repetitions of each measurement',
  }),
};
