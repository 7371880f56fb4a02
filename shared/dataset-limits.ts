/** The limits of datasets. The last word of a name is the unit; a name without one is a count. */

/** Maximum number of folders, CSV files and .npz files in a data folder. */
export const MAX_DATA_ENTRIES = 1024;
