import type { ValueType } from './value-types.ts';

/** The value of --mlflow that stands for the variable MLFLOW_TRACKING_URI. */
export const FROM_ENVIRONMENT = 'environment';

/** The address of an MLflow server. */
export const trackingUri: ValueType<string> = {
  metavar: 'URI',
  bare: FROM_ENVIRONMENT,
  allowed:
    'the http:// or https:// address of an MLflow server, without a user or a password ' +
    '(MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD), or no value for MLFLOW_TRACKING_URI',
  words: [],
  parse(text) {
    if (text === FROM_ENVIRONMENT) return text;
    if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return undefined;
    const { origin, pathname, username, password, search, hash } = new URL(text);
    if (username !== '' || password !== '' || search !== '' || hash !== '') return undefined;
    return `${origin}${pathname.replace(/\/+$/, '')}`;
  },
  format: String,
};
