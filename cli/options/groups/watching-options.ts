import * as limits from '../../../shared/limits.ts';
import { DEFAULT_TRACE_STEPS } from '../../../shared/limits/trace.ts';
import { DEFAULT_HTTP_PORT, host } from '../endpoint.ts';
import { trainingCommands, withDefault, withoutDefault } from '../option.ts';
import { traceSteps } from '../trace-steps.ts';
import { trackingUri } from '../tracking-uri.ts';
import { duration, flag, path, port } from '../value-types.ts';

const pageCommands = [...trainingCommands, 'show', 'board'] as const;

export const watchingOptions = {
  http: withDefault(flag, true, {
    in: [...trainingCommands, 'sweep'],
    help: 'serve the live page and /metrics; --no-http switches it off',
  }),
  httpHost: withDefault(host, '127.0.0.1', {
    in: pageCommands,
    help:
      'address of the live page; one that other machines can reach needs TLS and a token, ' +
      'or --insecure',
  }),
  httpPort: withDefault(port, DEFAULT_HTTP_PORT, {
    in: [...pageCommands, 'sweep'],
    help:
      'port of the live page; 0 picks a free port; if the default is in use, ' +
      'the next free port is used',
  }),
  httpSslCertfile: withoutDefault(path('FILE', 'a PEM file with a certificate and its chain'), {
    in: pageCommands,
    help: 'certificate for HTTPS on the live page and /metrics',
  }),
  httpSslKeyfile: withoutDefault(
    path('FILE', 'a PEM file with the private key for --http-ssl-certfile'),
    {
      in: pageCommands,
      help: 'private key for --http-ssl-certfile',
    },
  ),
  httpTokenFile: withoutDefault(
    path('FILE', `a readable file of at most ${limits.MAX_TOKEN_FILE_BYTES} bytes`),
    {
      in: pageCommands,
      help:
        'file with a token for the live page and /metrics, ' +
        'used as a bearer token, or as the password in a browser',
    },
  ),
  httpLinger: withDefault(duration({ min: 0, max: limits.MAX_HTTP_LINGER_SECONDS }), 0, {
    in: trainingCommands,
    help:
      'how long to wait after the run for one more scrape of /metrics, ' +
      'so that Prometheus gets the last values',
  }),
  tensorboard: withoutDefault(
    {
      ...path('DIR', 'a folder, or no value for the folder tensorboard in the run directory'),
      bare: 'run',
    },
    {
      in: trainingCommands,
      help:
        'write event files for TensorBoard to DIR/RUN-ID ' +
        '(without DIR: to the folder tensorboard in the run directory)',
    },
  ),
  trace: withoutDefault(path('FILE', 'the path of a file'), {
    in: trainingCommands,
    help: 'write when the coordinator and each worker did what in some steps, for Perfetto',
  }),
  traceSteps: withDefault(traceSteps, DEFAULT_TRACE_STEPS, {
    in: trainingCommands,
    help: 'the first and the last step of --trace',
  }),
  mlflow: withoutDefault(trackingUri, {
    in: trainingCommands,
    help:
      'log the run to this MLflow server (without URI: to MLFLOW_TRACKING_URI); ' +
      'MLFLOW_EXPERIMENT_NAME and the variables for its credentials apply',
  }),
};
