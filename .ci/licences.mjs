/**
 * Licences of packages whose package.json does not name one in its `license` field, and where each
 * was found.
 * @type {Record<string, { licence: string, reason: string }>}
 */
export const foundLicences = {
  'dejavu-fonts-ttf': {
    licence: 'Bitstream-Vera',
    reason: 'its LICENSE file contains the Bitstream Vera and Arev licences',
  },
  error: {
    licence: 'MIT',
    reason: 'its package.json uses the older `licenses` field',
  },
};
