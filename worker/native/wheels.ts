/**
 * A wheel of the TensorFlow engine, pinned by version and by its SHA-256 on the Python Package
 * Index. TensorFlow accepts a range of versions for each CUDA wheel (`tensorflow[and-cuda]`); these
 * are the newest ones that fit its release. Update all of them together.
 */
export interface Wheel {
  readonly project: string;
  readonly version: string;
  readonly file: string;
  readonly sha256: string;
  readonly megabytes: number;
}

export interface WheelSet {
  readonly name: string;
  readonly device: 'cpu' | 'cuda';
  readonly wheels: readonly Wheel[];
  /** Disk space that the unpacked files take. */
  readonly unpackedMegabytes: number;
}

export const TENSORFLOW_VERSION = '2.21.0';
/** The C library in the wheels is the same for every Python version, but pip requires one. */
export const PYTHON_VERSION = '3.11';

const tensorflowCpu: Wheel = {
  project: 'tensorflow-cpu',
  version: TENSORFLOW_VERSION,
  file: 'tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl',
  sha256: '2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c',
  megabytes: 274,
};

const tensorflowArm: Wheel = {
  project: 'tensorflow',
  version: TENSORFLOW_VERSION,
  file: 'tensorflow-2.21.0-cp311-cp311-manylinux_2_27_aarch64.whl',
  sha256: '4b24aca16d527a3cf1c37f720c04c484c3d20f4d0fdfa98632ac8b9f3be6eb5c',
  megabytes: 282,
};

const tensorflowCuda: Wheel = {
  project: 'tensorflow',
  version: TENSORFLOW_VERSION,
  file: 'tensorflow-2.21.0-cp311-cp311-manylinux_2_27_x86_64.whl',
  sha256: '9056fbc9ba04235810b71ae6cbd958a196e8804fb53bbcffbf3e23b56155f124',
  megabytes: 572,
};

const cudaWheels: readonly Wheel[] = [
  {
    project: 'nvidia-cublas-cu12',
    version: '12.9.3.13',
    file: 'nvidia_cublas_cu12-12.9.3.13-py3-none-manylinux_2_27_x86_64.whl',
    sha256: 'd7d51055f161b317c7105ddaae90e71eda059026074ffef93cf7cde2886bfe72',
    megabytes: 581,
  },
  {
    project: 'nvidia-cuda-cupti-cu12',
    version: '12.8.90',
    file: 'nvidia_cuda_cupti_cu12-12.8.90-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
    sha256: 'ea0cb07ebda26bb9b29ba82cda34849e73c166c18162d3913575b0c9db9a6182',
    megabytes: 10,
  },
  {
    project: 'nvidia-cuda-nvcc-cu12',
    version: '12.9.86',
    file: 'nvidia_cuda_nvcc_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
    sha256: '5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0',
    megabytes: 41,
  },
  {
    project: 'nvidia-cuda-nvrtc-cu12',
    version: '12.9.86',
    file: 'nvidia_cuda_nvrtc_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
    sha256: '210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4',
    megabytes: 90,
  },
  {
    project: 'nvidia-cuda-runtime-cu12',
    version: '12.9.79',
    file: 'nvidia_cuda_runtime_cu12-12.9.79-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
    sha256: '25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3',
    megabytes: 4,
  },
  {
    project: 'nvidia-cudnn-cu12',
    version: '9.28.0.42',
    file: 'nvidia_cudnn_cu12-9.28.0.42-py3-none-manylinux_2_27_x86_64.whl',
    sha256: '9ff58b7f36dacd0a93e89f8f2957b52466889217963701daa15e577317cfa375',
    megabytes: 717,
  },
  {
    project: 'nvidia-cufft-cu12',
    version: '11.4.1.4',
    file: 'nvidia_cufft_cu12-11.4.1.4-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
    sha256: 'c67884f2a7d276b4b80eb56a79322a95df592ae5e765cf1243693365ccab4e28',
    megabytes: 201,
  },
  {
    project: 'nvidia-curand-cu12',
    version: '10.3.10.19',
    file: 'nvidia_curand_cu12-10.3.10.19-py3-none-manylinux_2_27_x86_64.whl',
    sha256: '49b274db4780d421bd2ccd362e1415c13887c53c214f0d4b761752b8f9f6aa1e',
    megabytes: 68,
  },
  {
    project: 'nvidia-cusolver-cu12',
    version: '11.7.5.82',
    file: 'nvidia_cusolver_cu12-11.7.5.82-py3-none-manylinux_2_27_x86_64.whl',
    sha256: '15da72d1340d29b5b3cf3fd100e3cd53421dde36002eda6ed93811af63c40d88',
    megabytes: 338,
  },
  {
    project: 'nvidia-cusparse-cu12',
    version: '12.5.10.65',
    file: 'nvidia_cusparse_cu12-12.5.10.65-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
    sha256: '73060ce019ac064a057267c585bf1fd5a353734151f87472ff02b2c5c9984e78',
    megabytes: 367,
  },
  {
    project: 'nvidia-nccl-cu12',
    version: '2.32.3',
    file: 'nvidia_nccl_cu12-2.32.3-py3-none-manylinux_2_27_x86_64.whl',
    sha256: 'bb94b2348e4861d5e8aa00b36c3d12d9bdf9c6369b82cbb723de0b582280a21c',
    megabytes: 352,
  },
  {
    project: 'nvidia-nvjitlink-cu12',
    version: '12.9.86',
    file: 'nvidia_nvjitlink_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl',
    sha256: 'e3f1171dbdc83c5932a45f0f4c99180a70de9bd2718c1ab77d14104f6d7147f9',
    megabytes: 40,
  },
];

const sets: Record<string, Partial<Record<'cpu' | 'cuda', WheelSet>>> = {
  x64: {
    cpu: {
      name: 'tensorflow-cpu-2.21.0-x86_64',
      device: 'cpu',
      wheels: [tensorflowCpu],
      unpackedMegabytes: 860,
    },
    cuda: {
      name: 'tensorflow-2.21.0-cuda12-x86_64',
      device: 'cuda',
      wheels: [tensorflowCuda, ...cudaWheels],
      unpackedMegabytes: 6500,
    },
  },
  arm64: {
    cpu: {
      name: 'tensorflow-2.21.0-aarch64',
      device: 'cpu',
      wheels: [tensorflowArm],
      unpackedMegabytes: 1000,
    },
  },
};

/** The wheels for a processor and a device; undefined if TensorFlow does not publish any. */
export function wheelSet(architecture: string, device: 'cpu' | 'cuda'): WheelSet | undefined {
  return sets[architecture]?.[device];
}

/** The wheel sets for this processor. */
export function pinnedSets(): readonly WheelSet[] {
  return Object.values(sets[process.arch] ?? {});
}

/** The platform tag for pip: the last one in the file name. */
export function platformTag(wheel: Wheel): string {
  return (
    wheel.file
      .replace(/\.whl$/, '')
      .split('-')
      .at(-1)
      ?.split('.')
      .at(-1) ?? ''
  );
}

export function downloadMegabytes(wheels: readonly Wheel[]): number {
  return wheels.reduce((sum, wheel) => sum + wheel.megabytes, 0);
}
