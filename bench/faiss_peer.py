#!/usr/bin/python3
"""The same searches in FAISS (flat, inner product), timed: the peer of bench/bench_index.c.

    faiss_peer.py MODE [--repeat N]
    MODE: regions (36 queries on 36 indexes of 2,000 x 16), million (one query on 1,000,000 x 16), check

Debian: python3-faiss python3-numpy. Two threads. `regions` includes what 36 calls from Python cost.
Prints one line of JSON: name, seconds_min, seconds_median, peak_rss_bytes, repeats.
"""
import json
import os
import resource
import statistics
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "2")
import faiss
import numpy

WIDTH = 16


def unit_rows(random, count):
    rows = random.standard_normal((count, WIDTH), dtype=numpy.float32)
    return rows / numpy.linalg.norm(rows, axis=1, keepdims=True)


def flat(rows):
    index = faiss.IndexFlatIP(WIDTH)
    index.add(rows)
    return index


def main():
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    if mode == "check":
        return
    repeat = int(sys.argv[3]) if len(sys.argv) > 3 else (500 if mode == "regions" else 60)
    faiss.omp_set_num_threads(2)
    random = numpy.random.default_rng(1)
    if mode == "regions":
        indexes = [flat(unit_rows(random, 2000)) for _ in range(36)]
    elif mode == "million":
        indexes = [flat(unit_rows(random, 1000000))]
    else:
        sys.exit(__doc__)
    queries = [unit_rows(random, 1) for _ in indexes]
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        for index, query in zip(indexes, queries):
            index.search(query, 1)
        seconds.append(time.perf_counter() - start)
    name = {"regions": "36 x 2000 x 16", "million": "1000000 x 16"}[mode]
    print(json.dumps({"name": "faiss flat " + name, "seconds_min": min(seconds), "seconds_median": statistics.median(seconds),
                      "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "repeats": repeat}))


main()
