/** The limits of exported models. The last word of a name is the unit. */

/**
 * Maximum size of an exported model's weights. A file of protocol buffers, such as an ONNX model,
 * must be smaller than 2 GiB, and a file is built in memory.
 */
export const MAX_EXPORTED_BYTES = 512 * 1024 ** 2;
