"""MNIST's training set from idx files, and the arguments that all programs in this folder share."""

import argparse
import json
from pathlib import Path

import numpy


def arguments():
    """--data, --batch (over all processes), --steps (measured steps), and the model.

    --hidden WIDTHS is a network of dense layers, --convnet Keras' example for MNIST.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--hidden", type=lambda text: [int(width) for width in text.split(",")])
    model.add_argument("--convnet", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    return parser.parse_args()


def training_set(folder):
    """Images, float32 [60000, 784] in [0, 1], and labels, int64 [60000]."""
    images = numpy.fromfile(folder / "train-images-idx3-ubyte", numpy.uint8, offset=16)
    labels = numpy.fromfile(folder / "train-labels-idx1-ubyte", numpy.uint8, offset=8)
    return images.reshape(-1, 784).astype(numpy.float32) / 255, labels.astype(numpy.int64)


def report(steps, seconds, version):
    """Prints the result as a line of JSON, which run.mjs reads."""
    print(json.dumps({"steps_per_second": steps / seconds, "version": version}), flush=True)
