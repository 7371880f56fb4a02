"""Computes the logits of exported models with the runtime of their format.

Usage: python-logits.py RUNTIME, where RUNTIME is onnx, keras or torch. Reads JSON from stdin: a
list of cases, each with "file" (the exported model), "images" (float32 values from 0 to 1), "rows",
"columns" and "logits" (the file to write). Prints JSON: the metadata of the last model.
"""

import json
import sys
import zipfile

import numpy


def onnx_logits(file: str, images: numpy.ndarray) -> tuple[numpy.ndarray, object]:
    import onnx
    import onnxruntime

    onnx.checker.check_model(file, full_check=True)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    logits, probabilities = session.run(["logits", "probabilities"], {"image": images[:, None]})
    check_probabilities(logits, probabilities)
    return logits, session.get_modelmeta().custom_metadata_map


def keras_logits(file: str, images: numpy.ndarray) -> tuple[numpy.ndarray, object]:
    import keras

    model = keras.saving.load_model(file)
    both = keras.Model(model.inputs[0], [model.get_layer("logits").output, model.outputs[0]])
    logits, probabilities = (numpy.asarray(values) for values in both(images[..., None]))
    check_probabilities(logits, probabilities)
    with zipfile.ZipFile(file) as archive:
        return logits, json.loads(archive.read("metadata.json"))["mnist_dist"]


def torch_logits(file: str, images: numpy.ndarray) -> tuple[numpy.ndarray, object]:
    """The module with JAX's operations, in PyTorch's layouts: PyTorch itself has gigabytes."""
    from safetensors import safe_open

    with safe_open(file, framework="np") as opened:
        metadata = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}
    import torch_modules

    module = torch_modules.sequential(metadata["module"])
    return module(images[:, None], tensors), metadata


def check_probabilities(logits: numpy.ndarray, probabilities: numpy.ndarray) -> None:
    powers = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    expected = powers / powers.sum(axis=1, keepdims=True)
    numpy.testing.assert_allclose(probabilities, expected, atol=1e-5)


def main(runtime: str) -> None:
    compute = {"onnx": onnx_logits, "keras": keras_logits, "torch": torch_logits}[runtime]
    metadata: object = None
    for case in json.load(sys.stdin):
        shape = (-1, case["rows"], case["columns"])
        images = numpy.fromfile(case["images"], dtype="<f4").reshape(shape)
        logits, metadata = compute(case["file"], images)
        numpy.asarray(logits, dtype="<f4").tofile(case["logits"])
    print(json.dumps(metadata))


main(sys.argv[1])
