import { expect, it } from 'vitest';
import { removeByteVariables } from '../../../../worker/native/device-environment.ts';

it('removes exactly the variables with which an engine computes different bytes', () => {
  const environment: NodeJS.ProcessEnv = {
    PATH: '/bin',
    OMP_NUM_THREADS: '4',
    TF_ENABLE_ONEDNN_OPTS: '0',
    DNNL_MAX_CPU_ISA: 'AVX2',
    ONEDNN_DEFAULT_FPMATH_MODE: '',
    TF_XLA_FLAGS: '--tf_xla_auto_jit=2',
  };
  expect(removeByteVariables(environment)).toEqual([
    'TF_ENABLE_ONEDNN_OPTS=0',
    'TF_XLA_FLAGS=--tf_xla_auto_jit=2',
    'DNNL_MAX_CPU_ISA=AVX2',
  ]);
  expect(environment).toEqual({ PATH: '/bin', OMP_NUM_THREADS: '4' });
  expect(removeByteVariables(environment)).toEqual([]);
});
