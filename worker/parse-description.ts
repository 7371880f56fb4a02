import { issuesOf } from '../shared/schema.ts';
import { parameterCount } from '../shared/arithmetic/model-shape.ts';
import { ARITHMETIC } from '../shared/arithmetic/version.ts';
import type { EngineKind } from '../shared/engine-identity.ts';
import { ClusterError } from '../shared/errors.ts';
import { checkWorkerMemory } from '../shared/memory-needs.ts';
import { frameCapacity } from '../shared/wire/frame.ts';
import { updateFix } from '../shared/wire/other-version.ts';
import { PROTOCOL } from '../shared/wire/protocol.ts';
import {
  runDescriptionSchema,
  versionsSchema,
  type RunDescription,
  type Versions,
} from '../shared/wire/run-description.ts';

/** A worker's version, address and engine, and the limits on a run that it takes part in. */
export interface RunLimits {
  /** This worker's version of mnist-dist. */
  readonly version: string;
  /** The coordinator's ws:// or wss:// address. */
  readonly coordinator: URL;
  readonly maxModelBytes: number;
  readonly maxDataBytes: number;
  /** Maximum memory that a run may use in this worker, including the engine. */
  readonly maxMemoryBytes: number;
  readonly engine: EngineKind;
}

/**
 * Parses a coordinator's description of its run. Throws PROTOCOL if the text is not a run
 * description, VERSION if the coordinator has a different version, and LIMIT if the run is too
 * large.
 */
export function parseDescription(text: string, options: RunLimits): RunDescription {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ClusterError('PROTOCOL', `${options.coordinator.href}run did not return JSON`, {
      cause: error,
    });
  }
  const versions = versionsSchema.safeParse(json);
  if (!versions.success)
    throw new ClusterError(
      'PROTOCOL',
      `${options.coordinator.href}run does not describe a run; is this a coordinator?`,
    );
  checkVersions(versions.data, options.version);
  const description = runDescriptionSchema.safeParse(json);
  if (!description.success)
    throw new ClusterError(
      'PROTOCOL',
      `the coordinator sent an invalid run description: ${issuesOf(description.error)}`,
    );
  checkSizes(description.data, options);
  return description.data;
}

function checkVersions(theirs: Versions, version: string): void {
  if (theirs.protocol === PROTOCOL && theirs.arithmetic === ARITHMETIC) return;
  const ours = `protocol ${PROTOCOL}, arithmetic ${ARITHMETIC}`;
  const message =
    `the coordinator (mnist-dist ${theirs.version}) has protocol ${theirs.protocol}, ` +
    `arithmetic ${theirs.arithmetic}; this worker (mnist-dist ${version}) has ${ours}`;
  throw new ClusterError('VERSION', message, {
    fix:
      theirs.version === version
        ? 'both have the same version, so the files of one are changed or not built: install ' +
          'mnist-dist again on both machines'
        : updateFix('worker', theirs.version),
  });
}

function checkSizes(run: RunDescription, options: RunLimits): void {
  const { maxModelBytes, maxDataBytes, maxMemoryBytes, engine } = options;
  // The announced frames may be smaller than the model needs.
  const frameBytes = Math.max(
    run.frame_bytes,
    frameCapacity(4 * parameterCount(run.configuration.model)),
  );
  if (frameBytes > maxModelBytes) {
    throw new ClusterError(
      'LIMIT',
      `the run's frames have ${frameBytes} bytes, more than ${maxModelBytes} ` +
        `(--max-model-bytes)`,
      { fix: 'raise --max-model-bytes, or use a smaller model' },
    );
  }
  if (run.data_bytes > maxDataBytes) {
    throw new ClusterError(
      'LIMIT',
      `the run's dataset has ${run.data_bytes} bytes, more than ${maxDataBytes} ` +
        `(--max-data-bytes)`,
      { fix: 'raise --max-data-bytes' },
    );
  }
  checkWorkerMemory(run.configuration, engine, maxMemoryBytes);
}
