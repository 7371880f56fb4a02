import { z } from 'zod';
import { ClusterError } from '../../shared/errors.ts';
import { lastLines, runChild } from './run-program.ts';
import { SMOKE_LIMIT_MILLISECONDS } from '../../shared/limits.ts';

const smokeSchema = z.object({
  version: z.string(),
  gpu: z.boolean(),
  product: z.array(z.number()),
});
export type SmokeResult = Pick<z.infer<typeof smokeSchema>, 'version' | 'gpu'>;

// Runs with `node -e`, so that it needs no built file.
const script = `
const { readdirSync } = require('node:fs');
const { RTLD_DEEPBIND, RTLD_LAZY } = require('node:os').constants.dlopen;
const { dirname, join } = require('node:path');
const [, path] = process.argv;
// As load.ts does.
require.extensions['.node'] = (module, file) =>
  process.dlopen(module, file, RTLD_LAZY | RTLD_DEEPBIND);
const binding = require(path);
for (const name of readdirSync(dirname(path)))
  if (name.endsWith('.node')) require(join(dirname(path), name));
const { TF_FLOAT, TF_ATTR_BOOL, TF_ATTR_TYPE } = binding;
const matrix = (...values) => binding.createTensor([2, 2], TF_FLOAT, Float32Array.from(values));
const attributes = [
  { name: 'transpose_a', type: TF_ATTR_BOOL, value: false },
  { name: 'transpose_b', type: TF_ATTR_BOOL, value: false },
  { name: 'T', type: TF_ATTR_TYPE, value: TF_FLOAT },
];
const factors = [matrix(1, 2, 3, 4), matrix(5, 6, 7, 8)];
const [{ id }] = binding.executeOp('MatMul', attributes, factors, 1);
const product = [...binding.tensorDataSync(id)];
const gpu = binding.isUsingGpuDevice();
console.log(JSON.stringify({ version: binding.TF_Version, gpu, product }));
`;

/**
 * Loads TensorFlow and multiplies two matrices in a child process, because an incompatible library
 * aborts the process that loads it. `binding` is the file to test; the other addons in its folder
 * are loaded as well.
 */
export async function smokeTest(
  binding: string,
  environment: Readonly<Record<string, string>>,
): Promise<SmokeResult> {
  const result = await runChild([process.execPath, '-e', script, binding], {
    environment: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2', ...environment },
    limitMilliseconds: SMOKE_LIMIT_MILLISECONDS,
  });
  const answer = result.status === 0 ? parseAnswer(result.stdout) : undefined;
  if (answer?.product.join() === '19,22,43,50') return { version: answer.version, gpu: answer.gpu };
  const end = result.signal === undefined ? `exit ${result.status}` : `signal ${result.signal}`;
  const said = reasonIn(result.stderr) ?? lastLines(`${result.stderr}\n${result.stdout}`);
  throw new ClusterError('SETUP', `TensorFlow was built but does not work (${end}): ${said}`, {
    fix:
      'run: npx mnist-dist doctor; with --tensorflow, pass TensorFlow 2.14 or later for this ' +
      'processor',
  });
}

/** The line of a child's stderr that says why it ended, if there is one. */
export function reasonIn(stderr: string): string | undefined {
  // TensorFlow logs information and warnings, which may contain the same words.
  const isLog = (line: string) => /^(?:[IW]\d{4} |\d{4}-\d\d-\d\d \S+: [IW] )/.test(line);
  return stderr
    .split('\n')
    .find((line) => !isLog(line) && /error|cannot|undefined symbol|failed/i.test(line));
}

function parseAnswer(stdout: string): z.infer<typeof smokeSchema> | undefined {
  try {
    return smokeSchema.parse(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''));
  } catch {
    return undefined;
  }
}
