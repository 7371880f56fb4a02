/** The limits of datasets. The last word of a name is the unit; a name without one is a count. */

/** Maximum number of folders, CSV files and .npz files in a data folder. */
export const MAX_DATA_ENTRIES = 1024;
/** Maximum number of files in an .npz file; a dataset has four arrays. */
export const MAX_NPZ_ENTRIES = 64;
/** Maximum size of an array's header in an .npz file; NumPy's own limit is 10,000 characters. */
export const MAX_NPY_HEADER_BYTES = 16 * 1024;
/** Maximum size of the first line of a CSV file: 65,537 names of 15 characters. */
export const MAX_CSV_HEADER_BYTES = 1024 ** 2;
/** Maximum unpacked size of a CSV file; the largest dataset has up to four characters per pixel. */
export const MAX_CSV_BYTES = 8 * 1024 ** 3;
/** Maximum number of pictures in one half of a folder of pictures. */
export const MAX_PICTURES = 1_000_000;
/** Maximum size of the file of a picture in a dataset. */
export const MAX_PICTURE_FILE_BYTES = 16 * 1024 ** 2;
/** Maximum number of scans in a JPEG; a progressive one usually has ten. */
export const MAX_JPEG_SCANS = 64;
