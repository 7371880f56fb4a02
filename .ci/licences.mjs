/**
 * The licences of packages that do not name one in the field `license` of their package.json, each
 * with where it was found.
 * @type {Record<string, { licence: string, reason: string }>}
 */
export const foundLicences = {
  'dejavu-fonts-ttf': {
    licence: 'Bitstream-Vera',
    reason: 'its LICENSE has those of Bitstream Vera and Arev',
  },
  error: {
    licence: 'MIT',
    reason: 'its package.json has the older field `licenses`',
  },
};
