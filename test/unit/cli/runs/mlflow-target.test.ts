import { describe, expect, it } from 'vitest';
import { FROM_ENVIRONMENT, trackingUri } from '../../../../cli/options/tracking-uri.ts';
import { mlflowTarget } from '../../../../cli/runs/mlflow-target.ts';

describe('the address of an MLflow server', () => {
  it.each([
    ['http://10.0.0.5:5000/', 'http://10.0.0.5:5000'],
    ['https://mlflow.example.org/tracking/', 'https://mlflow.example.org/tracking'],
    ['HTTP://Host:80', 'http://host'],
  ])('%s', (text, url) => expect(trackingUri.parse(text)).toBe(url));

  it.each(['', 'mlruns', 'file:/srv/mlruns', 'databricks', 'http://user:secret@host:5000'])(
    'is not %s',
    (text) => expect(trackingUri.parse(text)).toBeUndefined(),
  );

  it('may be that of the environment', () => {
    const target = mlflowTarget(FROM_ENVIRONMENT, { MLFLOW_TRACKING_URI: 'http://host:5000/' });
    expect(target).toEqual({
      server: { url: 'http://host:5000', authorization: undefined },
      experiment: 'mnist-dist',
    });
    expect(() => mlflowTarget(FROM_ENVIRONMENT, {})).toThrow('MLFLOW_TRACKING_URI is not set');
  });

  it('is not repeated if it may contain a password', () => {
    const environment = { MLFLOW_TRACKING_URI: 'http://user:secret@host:5000' };
    const message = 'MLFLOW_TRACKING_URI is not the address of a server that --mlflow can use';
    expect(() => mlflowTarget(FROM_ENVIRONMENT, environment)).toThrow(
      expect.objectContaining({ message }),
    );
  });
});

describe('the credentials for MLflow', () => {
  const authorizationWith = (environment: Record<string, string>) =>
    mlflowTarget('http://host', environment)?.server.authorization;
  const user = { MLFLOW_TRACKING_USERNAME: 'u', MLFLOW_TRACKING_PASSWORD: 'pä' };

  it('are a user with a password, or a token', () => {
    expect(authorizationWith(user)).toBe(`Basic ${Buffer.from('u:pä').toString('base64')}`);
    expect(authorizationWith({ MLFLOW_TRACKING_TOKEN: 'abc' })).toBe('Bearer abc');
    expect(authorizationWith({ ...user, MLFLOW_TRACKING_TOKEN: 'abc' })).toMatch(/^Basic /);
    expect(authorizationWith({ MLFLOW_TRACKING_USERNAME: 'u' })).toBeUndefined();
  });

  it('are not sent, nor repeated, if a header cannot contain them', () => {
    const act = () => authorizationWith({ MLFLOW_TRACKING_TOKEN: 'secret\nX: 1' });
    expect(act).toThrow('MLFLOW_TRACKING_TOKEN contains white space or other characters');
  });
});
