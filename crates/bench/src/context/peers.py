"""One peer of `bench context`: its index over the same vectors, under the same rights.

Started as `peers.py NAME FOLDER`. It reads FOLDER/about.json, FOLDER/vectors and
FOLDER/questions (32-bit floats, unit vectors), builds, says so, and then answers each
line of standard input, `level first count effort limit`, with one line: milliseconds by
question, CPU milliseconds in all, and what it found. No question is begun after `limit`
seconds, but ten are asked. One thread.
"""

import json
import sys
import time

import numpy as np


def anonymous():
    """Resident memory that is not of files: the vectors themselves are mapped from one."""
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


class Hnswlib:
    """Asks a function about each neighbour that it comes by."""

    def __init__(self, vectors):
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=vectors.shape[1])
        self.index.init_index(max_elements=len(vectors), ef_construction=200, M=16)
        for part in range(0, len(vectors), 10_000):
            rows = np.asarray(vectors[part : part + 10_000])
            self.index.add_items(rows, np.arange(part, part + len(rows)))
        self.index.set_num_threads(1)

    def rights(self, mask):
        allowed = None if mask.all() else mask.astype(np.uint8).tobytes()
        return allowed and (lambda chunk: allowed[chunk] == 1)

    def search(self, query, k, effort, allowed):
        self.index.set_ef(max(effort, k))
        try:
            return self.index.knn_query(query, k=k, num_threads=1, filter=allowed)[0][0]
        except RuntimeError:
            # Fewer than k were found, and then it returns none of them.
            return []


class FaissHnsw:
    """A bitmap over a graph."""

    def __init__(self, vectors):
        import faiss

        self.faiss = faiss
        self.index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = 200
        for part in range(0, len(vectors), 10_000):
            self.index.add(np.ascontiguousarray(vectors[part : part + 10_000]))
        faiss.omp_set_num_threads(1)

    def rights(self, mask):
        if mask.all():
            return None
        return self.faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))

    def search(self, query, k, effort, allowed):
        parameters = self.faiss.SearchParametersHNSW(efSearch=max(effort, k))
        if allowed is not None:
            parameters.sel = allowed
        return self.index.search(query, k, params=parameters)[1][0]


class FaissFlat:
    """A bitmap over every original, in memory: exact, and its effort counts for nothing."""

    def __init__(self, vectors):
        import faiss

        self.faiss = faiss
        self.index = faiss.IndexFlatIP(vectors.shape[1])
        for part in range(0, len(vectors), 10_000):
            self.index.add(np.ascontiguousarray(vectors[part : part + 10_000]))
        faiss.omp_set_num_threads(1)

    rights = FaissHnsw.rights

    def search(self, query, k, effort, allowed):
        parameters = None if allowed is None else self.faiss.SearchParameters(sel=allowed)
        return self.index.search(query, k, params=parameters)[1][0]


class Usearch:
    """Its Python package has no filter: as many neighbours as the effort says are asked for,
    and those that may not be read are left out afterwards."""

    def __init__(self, vectors):
        from usearch.index import Index

        self.index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=16, expansion_add=200)
        for part in range(0, len(vectors), 10_000):
            rows = np.ascontiguousarray(vectors[part : part + 10_000])
            self.index.add(np.arange(part, part + len(rows)), rows)

    def rights(self, mask):
        return None if mask.all() else mask

    def search(self, query, k, effort, allowed):
        self.index.expansion_search = max(effort, k)
        if allowed is None:
            return self.index.search(query[0], k, threads=1).keys
        found = np.asarray(self.index.search(query[0], max(effort, k), threads=1).keys)
        return found[allowed[found]][:k]


PEERS = {"hnswlib": Hnswlib, "faiss-hnsw": FaissHnsw, "faiss-flat": FaissFlat, "usearch": Usearch}


def main(name, folder):
    about = json.load(open(f"{folder}/about.json"))
    shape = (about["chunks"], about["dimensions"])
    vectors = np.memmap(f"{folder}/vectors", dtype=np.float32, mode="r", shape=shape)
    questions = np.fromfile(f"{folder}/questions", dtype=np.float32).reshape(-1, about["dimensions"])
    before, start = anonymous(), time.monotonic()
    peer = PEERS[name](vectors)
    built = {"seconds": time.monotonic() - start, "bytes": anonymous() - before}
    print(json.dumps(built), flush=True)
    document = np.arange(about["chunks"]) // about["chunks_of_document"]
    rights = {}
    for line in sys.stdin:
        level, first, count, effort, limit = map(int, line.split())
        if level not in rights:
            rights[level] = peer.rights(document % 10**level == 0)
        ms, found = [], []
        cpu, end = time.process_time(), time.monotonic() + limit
        for query in questions[first : first + count]:
            if len(ms) >= 10 and time.monotonic() > end:
                break
            query = query.reshape(1, -1)
            start = time.perf_counter()
            ids = peer.search(query, about["k"], effort, rights[level])
            ms.append((time.perf_counter() - start) * 1e3)
            found.append([int(chunk) for chunk in ids if chunk >= 0])
        cpu = (time.process_time() - cpu) * 1e3
        print(json.dumps({"ms": ms, "cpu_ms": cpu, "found": found}), flush=True)


main(*sys.argv[1:])
