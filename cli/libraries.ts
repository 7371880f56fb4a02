import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/**
 * Libraries that most commands do not need. Each is loaded when it is first used, because loading
 * both takes longer than the rest of the startup.
 */
export const libraries = {
  // Parsing outside input: both packages match their declarations.
  pino: () => require('pino') as typeof import('pino'),
  yaml: () => require('yaml') as typeof import('yaml'),
};
