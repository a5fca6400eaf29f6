"""The blocking client: the same calls over MessagePack-RPC and over HTTP."""

from __future__ import annotations

from typing import Any, Iterator, Sequence

from . import _wire
from ._http import HttpCalls
from ._rpc import RpcCalls


class Client:
    """Calls a node. `address` is "unix:PATH", "tcp://HOST:PORT" or "http://HOST[:PORT]";
    "tls://HOST:PORT" and "https://HOST[:PORT]" are the last two over TLS, where the node's
    certificate must be for HOST and proved by `ca_file` (PEM; None: the system's authorities).

    A call that takes longer than `timeout_s` with all its attempts raises TimeoutError (one of a
    large object has the time anew for each of its messages); a connection that breaks raises
    ConnectionError once `attempts` have been made. Only what cannot be done twice by that is tried
    again: reads, put, delete, create_bucket, parts of uploads; never destroy_bucket. Errors of the
    node are penstock.Error and its kinds; ssl.SSLCertVerificationError: it does not prove who it
    is. `token` (or the environment's PENSTOCK_TOKEN) is shown to
    the node; without one that counts, where one is needed: Unauthenticated. Threads may share a
    client, and processes forked after it was made: each has a connection of its own."""

    def __init__(self, address: str, timeout_s: float | None = 60, attempts: int = 4, *,
                 token: str | None = None, ca_file: str | None = None) -> None:
        kind, target = _wire.parse_address(address)
        token = _wire.chosen_token(token)
        tls = _wire.tls_context(kind, ca_file)
        self._calls: RpcCalls | HttpCalls = (
            HttpCalls(target, timeout_s, attempts, token, tls) if kind in ("http", "https")
            else RpcCalls(kind, target, timeout_s, attempts, token, tls))

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; the next call opens one again."""
        self._calls.close()

    def create_bucket(self, bucket: str, **props: Any) -> None:
        """Makes a bucket; Exists. `props` as bucket.create has them: durability="none", ..."""
        self._calls.create_bucket(bucket, props)

    def destroy_bucket(self, bucket: str) -> None:
        """Destroys a bucket and all its objects."""
        self._calls.destroy_bucket(bucket)

    def buckets(self) -> "list[str]":
        """The names of all buckets."""
        return self._calls.buckets()

    def put(self, bucket: str, name: str, data: Any, *, metadata: dict[str, str] | None = None,
            if_absent: bool = False) -> dict[str, Any]:
        """Stores an object of any size; durable on return. {version, size, checksum}. `metadata`:
        texts, kept with it. `if_absent`: ConditionFailed if the object exists."""
        return self._calls.put(bucket, name, data, metadata, if_absent)

    def get(self, bucket: str, name: str, *, offset: int = 0, length: int | None = None,
            member: str | None = None) -> bytes:
        """Bytes of an object, or of a member of a shard, of any size; NotFound."""
        return self._calls.get(bucket, name, offset, length, member)

    def stat(self, bucket: str, name: str) -> dict[str, Any]:
        """{size, version, checksum, metadata, modified_ns}; NotFound."""
        return self._calls.stat(bucket, name)

    def delete(self, bucket: str, name: str) -> None:
        """Removes an object; NotFound."""
        self._calls.delete(bucket, name)

    def list(self, bucket: str, prefix: str = "") -> Iterator[dict[str, Any]]:
        """The bucket's objects by name, {name, size, version} each (over HTTP without version), a
        page at a time."""
        return self._calls.list(bucket, prefix)

    def get_many(self, bucket: str, names: Sequence[Any]) -> "list[memoryview]":
        """The contents of many objects, in the order of `names`; (name, member) asks for a member
        of a shard. The views lie in few buffers, which live as long as one of their views. All or
        nothing: NotFound if one is missing."""
        return self._calls.get_many(bucket, names)
