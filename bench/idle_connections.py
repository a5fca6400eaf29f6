#!/usr/bin/env python3
"""idle_connections.py PORT COUNT: opens COUNT keep-alive connections, makes one request on each,
prints COUNT, and holds them open until its standard input ends."""

import resource
import socket
import sys

REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def main():
    port, count = int(sys.argv[1]), int(sys.argv[2])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), 10)
        connection.sendall(REQUEST)
        if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
            break
        connections.append(connection)
    print(len(connections), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
