#!/usr/bin/python3
"""python_batches.py ADDRESS BUCKET OBJECTS BATCH SECONDS: reads random objects (o000000000 and on)
in batches with the Python package, one after the other, each sample a memoryview, and prints how
many samples a second came, and how many microseconds of this process's CPU time each took."""

import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "python"))
import penstock  # noqa: E402


def main():
    address, bucket, objects, batch, seconds = sys.argv[1:]
    source = random.Random(1)
    batches = [[f"o{source.randrange(int(objects)):09d}" for _ in range(int(batch))]
               for _ in range(200)]
    with penstock.Client(address) as client:
        client.get_many(bucket, batches[0])
        samples, turn = 0, 0
        cpu_s, begin_s = time.process_time(), time.monotonic()
        while time.monotonic() < begin_s + float(seconds):
            samples += len(client.get_many(bucket, batches[turn % len(batches)]))
            turn += 1
        took_s, cpu_s = time.monotonic() - begin_s, time.process_time() - cpu_s
    print(samples / took_s, cpu_s * 1e6 / samples)


if __name__ == "__main__":
    main()
