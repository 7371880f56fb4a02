"""PyTorch: one process, or DistributedDataParallel over gloo when torchrun starts several.

The model of mnist-dist: dense layers with ReLU and dropout 0.2, softmax cross entropy, Adam with
rate 0.001 (fused, the fastest variant). The whole training set lies in memory as float32.
"""

import os
import sys
import time

import torch
from torch import distributed, nn

from dataset import arguments, report, training_set

WARM_UP_STEPS = 200


def main():
    options = arguments()
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    torch.set_num_threads(1)
    if processes > 1:
        distributed.init_process_group("gloo")
    images, labels = (torch.from_numpy(array) for array in training_set(options.data))
    torch.manual_seed(1)
    layers = []
    width = 784
    for units in options.hidden:
        layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(0.2)]
        width = units
    model = nn.Sequential(*layers, nn.Linear(width, 10))
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
            loss_of(wrapped(images[chosen]), labels[chosen]).backward()
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
