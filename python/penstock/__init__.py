"""Penstock's client: objects, members of shards, and batches of samples.

    import penstock
    client = penstock.Client("unix:/run/penstock.sock")    # or "tcp://127.0.0.1:51081"
    client.create_bucket("pictures")
    client.put("pictures", "fox", b"...")
    for sample in client.get_many("pictures", ["fox", "hen"]):
        train(sample)                                      # a memoryview: nothing is copied

The same names as coroutines are in penstock.aio. A client may be used by several threads, and by
processes that were forked after it was made: each process has a connection of its own.
"""

from ._client import Client
from ._errors import (BucketNotFound, Busy, ConditionFailed, Corrupt, Error, Exists, Full, Invalid,
                      NotFound, NotImplementedByNode, Refused, TooLarge, Unauthenticated)

__all__ = ["Client", "Error", "NotFound", "BucketNotFound", "Exists", "Invalid", "TooLarge",
           "Refused", "ConditionFailed", "Corrupt", "Full", "Busy", "NotImplementedByNode",
           "Unauthenticated"]
