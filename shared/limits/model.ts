/** The limits of models. The last word of a name is the unit; a name without one is a count. */

/**
 * Maximum number of layers in a model: sixteen dense layers with their dropout fit, as does every
 * network that is useful for such small images. A graph has a copy of each layer per shard, so many
 * layers would take long to build.
 */
export const MAX_LAYERS = 64;
/** Maximum number of hidden layers in the model "mlp". */
export const MAX_HIDDEN_LAYERS = 16;
/** Maximum number of units in a dense layer. */
export const MAX_LAYER_UNITS = 65_536;
/** Maximum number of filters in a convolution. */
export const MAX_FILTERS = 4096;
/** Maximum height, width and stride of a window. A larger one does not fit any useful image. */
export const MAX_WINDOW_CELLS = 256;
/**
 * Maximum number of values that the layers of one shard compute. The libraries count the values of
 * a tensor in 32 bits, and the patches of a convolution have several values for each of these.
 */
export const MAX_SHARD_VALUES = 2 ** 29;
/**
 * Maximum number of multiplications in a step. At 10^10 per second, which a core can do, such a
 * step takes an hour; a worker cannot answer while it computes a shard.
 */
export const MAX_STEP_MULTIPLICATIONS = 2 ** 45;
/**
 * Maximum number of values that all layers compute for one picture in `predict` and on the page
 * (256 MiB in float64). Every model that a worker can evaluate with the default
 * --max-memory-bytes has fewer: a chunk of an evaluation has at least ten rows.
 */
export const MAX_PREDICTION_VALUES = 2 ** 25;
/**
 * Maximum number of multiplications and comparisons for one picture in `predict` and on the page:
 * about ten seconds, during which the page does not react. A convolutional network for pictures of
 * 512 x 512 needs a quarter of that.
 */
export const MAX_PREDICTION_OPERATIONS = 2 ** 32;
/** Maximum number of rows in one chunk of an evaluation. */
export const EVALUATION_CHUNK_ROWS = 500;
/**
 * Maximum number of values that the layers of a model with convolutions or pooling compute for one
 * chunk of an evaluation (16 MiB), unless the chunk has the fewest rows possible.
 */
export const MAX_CHUNK_VALUES = 2 ** 22;
/** Maximum size of a model description in YAML. */
export const MAX_MODEL_DESCRIPTION_BYTES = 64 * 1024;
