"""The modules of PyTorch that an exported model needs, with JAX's operations.

`sequential` evaluates the text of a torch.nn.Sequential with the classes of this file in place of
PyTorch's, and returns a function of images [batch, channels, rows, columns] and a state_dict.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
from jax import lax


def pad(values, sides, value):
    left, right, top, bottom = sides
    return jnp.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def conv2d(inputs, outputs, size, strides, padding):
    def module(values, weight, bias):
        assert weight.shape == (outputs, inputs, *size)
        around = [(each, each) for each in padding]
        result = lax.conv_general_dilated(values, weight, strides, around, precision="highest")
        return result + bias[:, None, None]

    return module


def linear(inputs, outputs):
    def module(values, weight, bias):
        assert weight.shape == (outputs, inputs)
        return jnp.matmul(values, weight.T, precision="highest") + bias

    return module


def window(values, start, reduce, size, strides, padding):
    around = ((0, 0), (0, 0), *((each, each) for each in padding))
    return lax.reduce_window(values, start, reduce, (1, 1, *size), (1, 1, *strides), around)


def max_pool(size, strides, padding):
    return lambda values: window(values, -jnp.inf, lax.max, size, strides, padding)


def avg_pool(size, strides, padding, ceil_mode, count_include_pad):
    assert not ceil_mode and not count_include_pad

    def module(values):
        total = window(values, 0.0, lax.add, size, strides, padding)
        return total / window(jnp.ones_like(values), 0.0, lax.add, size, strides, padding)

    return module


nn = SimpleNamespace(
    AvgPool2d=avg_pool,
    ConstantPad2d=lambda sides, value: lambda values: pad(values, sides, value),
    Conv2d=conv2d,
    Dropout=lambda rate: lambda values: values,
    Flatten=lambda: lambda values: values.reshape(values.shape[0], -1),
    Linear=linear,
    MaxPool2d=max_pool,
    ReLU=lambda: jax.nn.relu,
    Sequential=lambda *modules: modules,
    ZeroPad2d=lambda sides: lambda values: pad(values, sides, 0),
)


def sequential(text):
    modules = eval(text, {"torch": SimpleNamespace(nn=nn)})

    def call(values, tensors):
        for at, module in enumerate(modules):
            names = (f"{at}.weight", f"{at}.bias")
            values = module(values, *(tensors[name] for name in names if name in tensors))
        return values

    return call
