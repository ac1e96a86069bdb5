"""A ring of training examples in shared memory, kept fresh by generator processes.

Making an example costs about as much as training on it, so examples are used several times: the generators write round and
round, the trainer draws at random. The trainer steers the difficulty. A draw may, very rarely, meet a half-written example;
that is noise among noise.
"""
import multiprocessing as mp
import os
import time
from multiprocessing import shared_memory

import numpy as np

SPAWN = mp.get_context("spawn")  # a fork does not survive the threads of torch and OpenCV
USES = 3  # how often an example is drawn on average; generators ahead of that wait, so that the trainer has the processor


class Ring:
    """`fields` maps a name to (shape, dtype) of one example's array; every array has `size` rows."""

    def __init__(self, size: int, fields: dict[str, tuple[tuple, str]], uses: int = USES):
        self.size, self.fields, self.uses = size, fields, uses
        self.blocks, self.arrays = {}, {}
        for name, (shape, dtype) in fields.items():
            count = size * int(np.prod(shape)) * np.dtype(dtype).itemsize
            self.blocks[name] = shared_memory.SharedMemory(create=True, size=count)
        self.written, self.drawn = SPAWN.Value("q", 0), SPAWN.Value("q", 0)
        self.difficulty = SPAWN.Value("d", 0.0)
        self.attach()

    def attach(self):
        for name, (shape, dtype) in self.fields.items():
            self.arrays[name] = np.ndarray((self.size, *shape), dtype, self.blocks[name].buf)

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "arrays"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.arrays = {}
        self.attach()

    def draw(self, rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
        """`count` random examples out of those written."""
        filled = min(self.written.value, self.size)
        self.drawn.value += count
        index = rng.integers(0, filled, count)
        return {name: array[index] for name, array in self.arrays.items()}

    def close(self):
        for block in self.blocks.values():
            block.close()
            block.unlink()


def fill(ring: Ring, make, seed: int):
    """A generator process: `make(seed)` gives a function of the difficulty that returns a dict of arrays."""
    parent = os.getppid()
    example = make(seed)
    while os.getppid() == parent:
        if ring.written.value > ring.size / 4 + ring.drawn.value / ring.uses:
            time.sleep(0.05)
            continue
        row = example(ring.difficulty.value)
        with ring.written.get_lock():
            at = ring.written.value % ring.size
            ring.written.value += 1
        for name, value in row.items():
            ring.arrays[name][at] = value


def start(ring: Ring, make, processes: int, seed: int, least: int) -> list:
    """Starts the generators and waits until `least` examples are there."""
    workers = [SPAWN.Process(target=fill, args=(ring, make, seed + k), daemon=True) for k in range(processes)]
    for worker in workers:
        worker.start()
    while ring.written.value < least:
        time.sleep(0.5)
        if not all(worker.is_alive() for worker in workers):
            raise RuntimeError("a generator ended before the ring was filled")
    return workers
