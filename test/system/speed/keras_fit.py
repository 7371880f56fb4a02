"""Keras' model.fit in one process, or MultiWorkerMirroredStrategy if TF_CONFIG names several.

The models of mnist-dist, as in ddp.py. One thread per operation, like the other programs.
"""

import json
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# MultiWorkerMirroredStrategy needs Keras 2.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf  # noqa: E402

from dataset import arguments, report, training_set  # noqa: E402

WARM_UP_STEPS = 200


layers = tf.keras.layers


def dense(widths):
    hidden = [
        layer
        for units in widths
        for layer in (layers.Dense(units, "relu"), layers.Dropout(0.2))
    ]
    return tf.keras.Sequential([layers.Input((784,)), *hidden, layers.Dense(10)])


def convnet():
    return tf.keras.Sequential(
        [
            *(layers.Input((784,)), layers.Reshape((28, 28, 1))),
            *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D()),
            *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D()),
            *(layers.Flatten(), layers.Dropout(0.5), layers.Dense(10)),
        ]
    )


def main():
    options = arguments()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    task = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {"index": 0})
    strategy = tf.distribute.get_strategy()
    if "TF_CONFIG" in os.environ:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    images, labels = training_set(options.data)
    with strategy.scope():
        model = convnet() if options.convnet else dense(options.hidden)
        loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
    source = tf.data.Dataset.from_tensor_slices((images, labels))
    source = source.shuffle(len(images), seed=7).repeat().batch(options.batch, drop_remainder=True)
    settings = tf.data.Options()
    policy = tf.data.experimental.AutoShardPolicy.DATA
    settings.experimental_distribute.auto_shard_policy = policy
    source = source.prefetch(8).with_options(settings)
    model.fit(source, steps_per_epoch=WARM_UP_STEPS, verbose=0)
    began = time.perf_counter()
    model.fit(source, steps_per_epoch=options.steps, verbose=0)
    if task["index"] == 0:
        report(options.steps, time.perf_counter() - began, tf.__version__)


main()
