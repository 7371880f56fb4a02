import type { MlflowServer } from '../../dashboards/trackers/mlflow-client.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { Environment } from '../options/environment.ts';
import { FROM_ENVIRONMENT, trackingUri } from '../options/tracking-uri.ts';

const DEFAULT_EXPERIMENT = 'mnist-dist';

/** A server, and the experiment to which a run belongs. */
export interface MlflowTarget {
  readonly server: MlflowServer;
  readonly experiment: string;
}

/**
 * The server that --mlflow and MLflow's own variables name; undefined without --mlflow. Throws
 * USAGE.
 */
export function mlflowTarget(
  option: string | undefined,
  environment: Environment,
): MlflowTarget | undefined {
  if (option === undefined) return undefined;
  const url = option === FROM_ENVIRONMENT ? urlIn(environment) : option;
  const { MLFLOW_EXPERIMENT_NAME: experiment } = environment;
  return {
    server: { url, authorization: authorizationIn(environment) },
    experiment: experiment === undefined || experiment === '' ? DEFAULT_EXPERIMENT : experiment,
  };
}

function urlIn({ MLFLOW_TRACKING_URI: text = '' }: Environment): string {
  const url = trackingUri.parse(text);
  if (url !== undefined && url !== FROM_ENVIRONMENT) return url;
  // The variable is not repeated: it may contain a password.
  throw new ClusterError(
    'USAGE',
    text === ''
      ? '--mlflow has no value, and MLFLOW_TRACKING_URI is not set'
      : 'MLFLOW_TRACKING_URI is not the address of a server that --mlflow can use',
    { fix: `allowed: ${trackingUri.allowed}` },
  );
}

/** The same choice as that of MLflow's Python client: a user with a password, then a token. */
function authorizationIn(environment: Environment): string | undefined {
  const {
    MLFLOW_TRACKING_USERNAME: user = '',
    MLFLOW_TRACKING_PASSWORD: password = '',
    MLFLOW_TRACKING_TOKEN: token = '',
  } = environment;
  if (user !== '' && password !== '')
    return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  if (token === '') return undefined;
  // An error about an HTTP header would contain the token.
  if (/^[\x21-\x7e]+$/.test(token)) return `Bearer ${token}`;
  throw new ClusterError(
    'USAGE',
    'MLFLOW_TRACKING_TOKEN contains white space or other characters',
    {
      fix: 'set it to the token alone',
    },
  );
}
