"""PyTorch: one process, or DistributedDataParallel over gloo when torchrun starts several.

The models of mnist-dist: dense layers with ReLU and dropout 0.2, or convnet; softmax cross
entropy, Adam with rate 0.001 (fused, the fastest variant). The whole training set lies in memory
as float32.
"""

import os
import sys
import time

import torch
from torch import distributed, nn

from dataset import arguments, report, training_set

WARM_UP_STEPS = 200


def dense(widths):
    layers = []
    inputs = 784
    for units in widths:
        layers += [nn.Linear(inputs, units), nn.ReLU(), nn.Dropout(0.2)]
        inputs = units
    return nn.Sequential(*layers, nn.Linear(inputs, 10))


def convnet():
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(1600, 10)),
    )


def main():
    options = arguments()
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    torch.set_num_threads(1)
    if processes > 1:
        distributed.init_process_group("gloo")
    images, labels = (torch.from_numpy(array) for array in training_set(options.data))
    torch.manual_seed(1)
    model = convnet() if options.convnet else dense(options.hidden)
    if options.convnet:
        images = images.reshape(-1, 1, 28, 28)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
    wrapped = model
    if processes > 1:
        wrapped = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    wrapped.train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
    loss_of = nn.CrossEntropyLoss()
    rows = options.batch // processes
    generator = torch.Generator().manual_seed(7)

    def batches():
        while True:
            order = torch.randperm(len(images), generator=generator)
            for start in range(0, len(images) - options.batch + 1, options.batch):
                first = start + rank * rows
                yield order[first : first + rows]

    source = batches()

    def train(steps):
        for _ in range(steps):
            chosen = next(source)
            optimizer.zero_grad(set_to_none=True)
            batch = images[chosen]
            if options.channels_last:
                batch = batch.to(memory_format=torch.channels_last)
            loss_of(wrapped(batch), labels[chosen]).backward()
            optimizer.step()

    train(WARM_UP_STEPS)
    began = time.perf_counter()
    train(options.steps)
    if rank == 0:
        report(options.steps, time.perf_counter() - began, torch.__version__)
    if processes > 1:
        # gloo aborts a process whose peer has ended first, or that ends while its threads run.
        distributed.barrier()
        sys.stdout.flush()
        os._exit(0)


main()
