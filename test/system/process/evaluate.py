"""Evaluates a model.safetensors on idx files with numpy and safetensors alone.

Usage: evaluate.py MODEL IMAGES LABELS. Prints JSON: the confusion matrix (rows true), and the
samples whose best two logits differ by less than 1e-5, which another order of additions may decide
otherwise.
"""

import json
import sys

import numpy
from safetensors.numpy import load_file


def idx(path: str, header: int) -> numpy.ndarray:
    return numpy.fromfile(path, dtype=numpy.uint8)[header:]


def main(model: str, images: str, labels: str) -> None:
    tensors = load_file(model)
    truth = idx(labels, 8)
    x = idx(images, 16).reshape(len(truth), -1).astype(numpy.float32) / numpy.float32(255)
    layers = len(tensors) // 2
    for i in range(layers):
        x = x @ tensors[f"dense.{i}.kernel"] + tensors[f"dense.{i}.bias"]
        if i < layers - 1:
            x = numpy.maximum(x, 0)
    classes = x.shape[1]
    confusion = numpy.zeros((classes, classes), dtype=int)
    numpy.add.at(confusion, (truth, x.argmax(axis=1)), 1)
    best = numpy.sort(x, axis=1)[:, -2:]
    close = numpy.flatnonzero(best[:, 1] - best[:, 0] < 1e-5)
    print(json.dumps({"confusion": confusion.tolist(), "close": close.tolist()}))


main(*sys.argv[1:])
