import { z } from 'zod';
import { ClusterError } from '../../shared/errors.ts';
import { lastLines, runChild } from './run-program.ts';
import { packageRoot } from './places.ts';
import { SMOKE_LIMIT_MILLISECONDS } from '../../shared/limits.ts';

const smokeSchema = z.object({
  version: z.string(),
  gpu: z.boolean(),
  product: z.array(z.number()),
});
export type SmokeResult = Pick<z.infer<typeof smokeSchema>, 'version' | 'gpu'>;

// Runs with `node -e`, so that it needs no built file. The binding under test is not yet where the
// package looks for it, hence the replaced `find`; the two utilities are the same as in load.ts.
const script = `
const { createRequire } = require('node:module');
const [, root, binding] = process.argv;
const util = require('node:util');
util.isNullOrUndefined ??= (value) => value === null || value === undefined;
util.isArray ??= Array.isArray;
const project = createRequire(root + '/package.json');
const inner = createRequire(project.resolve('@tensorflow/tfjs-node-gpu/package.json'));
inner('@mapbox/node-pre-gyp/lib/pre-binding').find = () => binding;
const tf = project('@tensorflow/tfjs-node-gpu');
const product = tf.matMul(tf.tensor2d([1, 2, 3, 4], [2, 2]), tf.tensor2d([5, 6, 7, 8], [2, 2]));
const backend = tf.backend();
const version = backend.binding.TF_Version;
const gpu = backend.isUsingGpuDevice;
console.log(JSON.stringify({ version, gpu, product: [...product.dataSync()] }));
`;

/**
 * Loads TensorFlow and multiplies two matrices in a child process, because an incompatible library
 * aborts its process. `binding` is the file to test.
 */
export async function smokeTest(
  binding: string,
  environment: Readonly<Record<string, string>>,
): Promise<SmokeResult> {
  const result = await runChild([process.execPath, '-e', script, packageRoot, binding], {
    environment: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2', ...environment },
    limitMilliseconds: SMOKE_LIMIT_MILLISECONDS,
  });
  const answer = result.status === 0 ? parseAnswer(result.stdout) : undefined;
  if (answer?.product.join() === '19,22,43,50') return { version: answer.version, gpu: answer.gpu };
  const end = result.signal === undefined ? `exit ${result.status}` : `signal ${result.signal}`;
  const said =
    result.stderr.split('\n').find((line) => /error|cannot|undefined symbol|failed/i.test(line)) ??
    lastLines(`${result.stderr}\n${result.stdout}`);
  throw new ClusterError('SETUP', `TensorFlow was built but does not work (${end}): ${said}`, {
    fix:
      'run: npx mnist-dist doctor; with --tensorflow, pass TensorFlow 2.14 or later for this ' +
      'processor',
  });
}

function parseAnswer(stdout: string): z.infer<typeof smokeSchema> | undefined {
  try {
    return smokeSchema.parse(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''));
  } catch {
    return undefined;
  }
}
