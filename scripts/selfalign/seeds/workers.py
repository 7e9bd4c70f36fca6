"""Source files parsed in several processes, in order. A file that takes its process down is one rejected file, not a dead job."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from selfalign.data.orphans import end_with_parent
from selfalign.sources.source_file import SourceFile

_BATCH = 32  # files that a process gets at a time
_WAITING = 4  # batches for each process that are read ahead: bounds memory

Parsed = tuple[list[dict], list[dict]]
Parse = Callable[[SourceFile], Parsed]


def parse_files(files: Iterable[SourceFile], parse: Parse, crashed: Callable[[SourceFile], Parsed], processes: int) -> Iterator[Parsed]:
    """What `parse` gives for each file, in the order of the files; `crashed` for a file that ends its process whenever it is tried."""
    source = iter(files)
    batches = iter(lambda: tuple(islice(source, _BATCH)), ())
    running: deque[tuple[tuple[SourceFile, ...], Future]] = deque()
    pool = _pool(processes)
    try:
        while True:
            while len(running) < processes * _WAITING and (batch := next(batches, None)):
                running.append((batch, _submit(pool, parse, batch)))
            if not running:
                return
            batch, future = running.popleft()
            try:
                yield from future.result()
            except BrokenProcessPool:
                # Nobody knows whose fault it was: all that was in flight is tried again.
                pool.shutdown(wait=False, cancel_futures=True)
                again = [batch, *(waiting for waiting, _ in running)]
                running.clear()
                yield from _one_by_one(again.pop(0), parse, crashed)
                pool = _pool(processes)
                running.extend((waiting, _submit(pool, parse, waiting)) for waiting in again)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _pool(processes: int) -> ProcessPoolExecutor:
    fork = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(processes, fork, initializer=end_with_parent, initargs=(os.getpid(),))


def _submit(pool: ProcessPoolExecutor, parse: Parse, batch: tuple[SourceFile, ...]) -> Future:
    try:
        return pool.submit(_parse_batch, parse, batch)
    except BrokenProcessPool as error:  # it broke while batches were being handed to it
        failed: Future = Future()
        failed.set_exception(error)
        return failed


def _parse_batch(parse: Parse, batch: tuple[SourceFile, ...]) -> list[Parsed]:
    return [parse(file) for file in batch]


def _one_by_one(batch: tuple[SourceFile, ...], parse: Parse, crashed: Callable[[SourceFile], Parsed]) -> Iterator[Parsed]:
    pool = _pool(1)
    try:
        for file in batch:
            try:
                yield pool.submit(parse, file).result()
            except BrokenProcessPool:
                pool = _pool(1)
                yield crashed(file)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
