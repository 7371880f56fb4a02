/** Further limits of a run's page. The last word of a name is the unit, unless it is a count. */

/** Maximum length of the command in run.json. */
export const MAX_COMMAND_CHARACTERS = 4096;
/** Maximum number of gradient norms on the page. */
export const MAX_SHOWN_NORMS = 1000;
/** Number of steps at which the page shows the learning rate. */
export const SHOWN_RATES = 256;
/** Maximum size of a file of the run that the page links to. */
export const MAX_PAGE_FILE_BYTES = 32 * 1024 ** 2;
