/** The limits of datasets. The last word of a name is the unit; a name without one is a count. */

/** Maximum number of folders, CSV files and .npz files in a data folder. */
export const MAX_DATA_ENTRIES = 1024;
/** Maximum number of files in an .npz file; a dataset has four arrays. */
export const MAX_NPZ_ENTRIES = 64;
/** Maximum size of an array's header in an .npz file; NumPy's own limit is 10,000 characters. */
export const MAX_NPY_HEADER_BYTES = 16 * 1024;
