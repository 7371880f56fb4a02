"""Trains one dense layer with Keras 3 and given gradients, and prints its weights as JSON.

Reads {updates, losses} as JSON from stdin. An update has {optimizer, gradients, kernel, bias}:
`optimizer` contains the class in keras.optimizers and its arguments; a learning_rate that is an
object contains a class in keras.optimizers.schedules and its arguments. The gradients of a step are
[kernel, bias]. A loss has {label_smoothing, inputs, labels, kernel, bias}; the answer contains the
mean loss of the layer's logits and its gradients.
"""

import json
import sys

import jax
import keras
import numpy as np


def built(module, description):
    arguments = dict(description)
    name = arguments.pop("class")
    return getattr(module, name)(**arguments)


def trained(case):
    description = dict(case["optimizer"])
    if isinstance(description["learning_rate"], dict):
        schedules = keras.optimizers.schedules
        description["learning_rate"] = built(schedules, description["learning_rate"])
    optimizer = built(keras.optimizers, description)
    kernel = keras.Variable(np.array(case["kernel"], dtype="float32"), name="kernel")
    bias = keras.Variable(np.array(case["bias"], dtype="float32"), name="bias")
    if description.get("weight_decay"):
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build([kernel, bias])
    for step in case["gradients"]:
        gradients = [keras.ops.convert_to_tensor(np.array(g, dtype="float32")) for g in step]
        optimizer.apply(gradients, [kernel, bias])
    arrays = [keras.ops.convert_to_numpy(variable) for variable in (kernel, bias)]
    return [[float(x) for x in array.ravel()] for array in arrays]


def differentiated(case):
    inputs, kernel, bias = (
        np.array(case[name], dtype="float32") for name in ("inputs", "kernel", "bias")
    )
    targets = np.eye(len(case["bias"]), dtype="float32")[case["labels"]]
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=case["label_smoothing"]
    )
    value, gradients = jax.value_and_grad(
        lambda weights: loss(targets, inputs @ weights[0] + weights[1])
    )((kernel, bias))
    return {"loss": float(value), "gradient": [float(x) for g in gradients for x in g.ravel()]}


given = json.load(sys.stdin)
answer = {
    "version": keras.__version__,
    "weights": [trained(case) for case in given["updates"]],
    "losses": [differentiated(case) for case in given["losses"]],
}
json.dump(answer, sys.stdout)
