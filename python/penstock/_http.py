"""The blocking calls over HTTP, AIStore's REST API: for where only HTTP goes through. Each thread
has a connection of its own."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import ssl
import threading
import time
import urllib.parse
from typing import Any, Iterator, Sequence

from . import _errors, _wire
from ._crc32c import crc32c
from ._errors import NotFound

_KINDS = {404: NotFound, 409: _errors.Exists, 403: _errors.Refused, 401: _errors.Unauthenticated,
          412: _errors.ConditionFailed, 413: _errors.TooLarge, 400: _errors.Invalid,
          501: _errors.NotImplementedByNode, 503: _errors.Busy, 507: _errors.Full}
_NAMES = {kind: name for name, kind in _errors.KINDS.items()}


class _Answer:
    def __init__(self, headers: Any, content: bytes) -> None:
        self.headers = headers
        self.content = content


def _error_of(status: int, headers: Any, content: bytes) -> _errors.Error:
    text = content.decode("utf-8", "replace") or headers.get("Hdr-Error", "")
    try:
        told = json.loads(text)
        message, kind = told.get("message", text), told.get("tcode", "")
    except (ValueError, AttributeError):
        message, kind = text or f"status {status}", ""
    error = _errors.Corrupt if kind == "ErrCorrupted" else _KINDS.get(status, _errors.Error)
    if error is NotFound and kind == "ErrBckNotFound":
        error = _errors.BucketNotFound
    return error(message, _NAMES.get(error, "internal"), {"status": status, "tcode": kind})


def _metadata_lines(metadata: dict[str, str]) -> "list[str]":
    """KEY=VALUE of each pair, if headers carry them unchanged."""
    lines = []
    for key, value in metadata.items():
        line = f"{key}={value}"
        if (not key or "=" in key or line != line.strip() or value != value.strip()
                or any(ord(letter) < 32 or ord(letter) == 127 for letter in line)):
            raise ValueError(f"the metadata {key!r} cannot be put over HTTP")
        lines.append(line)
    return lines


def _check(content: bytes, kind: str, value: str) -> None:
    """That the content has the checksum that the bucket keeps, if it is one that is known here."""
    if kind == "crc32c":
        computed = f"{crc32c(content):08x}"
    elif kind in ("md5", "sha256", "sha512"):
        computed = hashlib.new(kind, content, usedforsecurity=False).hexdigest()
    else:
        return
    if computed != value:
        raise ConnectionError("the reply's bytes fail their checksum")


class HttpCalls:
    def __init__(self, target: Any, timeout_s: float | None, attempts: int, token: str,
                 tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._authorization = {"Authorization": "Bearer " + token} if token else {}
        self._host, self._port = target
        self._timeout_s = timeout_s
        self._attempts = max(1, attempts)
        self._local = threading.local()

    def close(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def create_bucket(self, bucket: str, props: dict[str, Any]) -> None:
        value: dict[str, Any] = dict(props)
        if "checksum" in value:
            value["checksum"] = {"type": value["checksum"]}
        if "versioned" in value:
            value["versioning"] = {"enabled": value.pop("versioned")}
        try:
            self._act("POST", self._bucket(bucket), "create-bck", value or None)
        except _errors.Exists as error:
            if not getattr(error, "was_repeated", False):
                raise

    def destroy_bucket(self, bucket: str) -> None:
        self._act("DELETE", self._bucket(bucket), "destroy-bck", None, may_repeat=False)

    def buckets(self) -> "list[str]":
        answer = self._act("GET", "/v1/buckets/?provider=ais", "list", None)
        return [bucket["name"] for bucket in json.loads(answer.content) or []]

    def put(self, bucket: str, name: str, data: Any, metadata: dict[str, str] | None,
            if_absent: bool) -> dict[str, Any]:
        content = memoryview(data).cast("B")
        headers = {"If-None-Match": "*"} if if_absent else {}
        # Over TLS an upload without this mark is sent on to where it went, for clients that ask so.
        mark = {"pid": "client"} if self._tls else {}
        try:
            self._request("PUT", self._object(bucket, name, mark), content, headers,
                          metadata=_metadata_lines(metadata or {}))
        except _errors.ConditionFailed as error:
            if not getattr(error, "was_repeated", False):
                raise
        stored = self.stat(bucket, name)
        kind, value = stored["checksum"]["type"], stored["checksum"]["value"]
        if stored["size"] != len(content):
            raise ConnectionError("the node stored another size than was sent")
        _check(bytes(content), kind, value)
        return {key: stored[key] for key in ("version", "size", "checksum")}

    def get(self, bucket: str, name: str, offset: int, length: int | None,
            member: str | None) -> bytes:
        if length == 0:
            self.stat(bucket, name)
            return b""
        headers = {}
        if offset or length is not None:
            end = "" if length is None else str(offset + length - 1)
            headers["Range"] = f"bytes={offset}-{end}"
        query = {"archpath": member} if member is not None else {}
        try:
            answer = self._request("GET", self._object(bucket, name, query), None, headers)
        except _errors.Error as error:
            if error.details.get("status") == 416:
                return b""  # as over RPC: nothing lies behind the end
            raise
        if not headers and member is None:
            _check(answer.content, answer.headers.get("Ais-Checksum-Type", ""),
                   answer.headers.get("Ais-Checksum-Value", ""))
        return answer.content

    def stat(self, bucket: str, name: str) -> dict[str, Any]:
        headers = self._request("HEAD", self._object(bucket, name), None, {}).headers
        # http.client takes what are bytes of UTF-8 for Latin-1.
        custom = (pair.encode("latin-1").decode("utf-8", "replace").partition("=")
                  for pair in headers.get_all("Ais-Custom-Md", []))
        return {"size": int(headers["Content-Length"]), "version": headers["ETag"].strip('"'),
                "checksum": {"type": headers.get("Ais-Checksum-Type", "none"),
                             "value": headers.get("Ais-Checksum-Value", "")},
                "metadata": {key: value for key, _, value in custom},
                "modified_ns": int(headers.get("Ais-Atime", 0))}

    def delete(self, bucket: str, name: str) -> None:
        try:
            self._request("DELETE", self._object(bucket, name), None, {})
        except NotFound as error:
            if not getattr(error, "was_repeated", False):
                raise

    def list(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        token = ""
        while True:
            value = {"prefix": prefix, "continuation_token": token, "props": "name,size"}
            page = json.loads(self._act("GET", self._bucket(bucket), "list", value).content)
            for entry in page.get("entries") or []:
                yield {"name": entry["name"], "size": int(entry.get("size", 0))}
            token = page.get("continuation_token", "")
            if not token:
                return

    def get_many(self, bucket: str, names: Sequence[Any]) -> "list[memoryview]":
        return [memoryview(self.get(bucket, name[0], 0, None, name[1]) if isinstance(name, tuple)
                           else self.get(bucket, name, 0, None, None)) for name in names]

    # ---- within ----

    @staticmethod
    def _bucket(bucket: str) -> str:
        return f"/v1/buckets/{urllib.parse.quote(bucket, safe='')}?provider=ais"

    @staticmethod
    def _object(bucket: str, name: str, query: dict[str, str] | None = None) -> str:
        path = f"{urllib.parse.quote(bucket, safe='')}/{urllib.parse.quote(name)}"
        return f"/v1/objects/{path}?{urllib.parse.urlencode({'provider': 'ais', **(query or {})})}"

    def _act(self, method: str, target: str, action: str, value: Any,
             may_repeat: bool = True) -> _Answer:
        body = json.dumps({"action": action, "name": "", "value": value}).encode()
        return self._request(method, target, body, {"Content-Type": "application/json"}, may_repeat)

    def _request(self, method: str, target: str, body: Any, headers: dict[str, str],
                 may_repeat: bool = True, metadata: Sequence[str] = ()) -> _Answer:
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        was_repeated = False
        for attempt in range(1, self._attempts + 1):
            try:
                return self._attempt(method, target, body, headers, metadata, deadline)
            except Exception as error:
                error.was_repeated = was_repeated  # type: ignore[attr-defined]
                is_node = isinstance(error, _errors.Error)
                was_repeated = was_repeated or not is_node
                is_last = attempt == self._attempts or not _wire.is_passing(error)
                if is_last or not (may_repeat or is_node):
                    raise
            pause = _wire.backoff_s(attempt)
            if deadline is not None and time.monotonic() + pause >= deadline:
                raise TimeoutError("the call was not done in time")
            time.sleep(pause)
        raise AssertionError("every attempt returns or raises")

    def _attempt(self, method: str, target: str, body: Any, headers: dict[str, str],
                 metadata: Sequence[str], deadline: float | None) -> _Answer:
        left = None if deadline is None else max(0.001, deadline - time.monotonic())
        connection = self._connection(left)
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            for name, value in {**headers, **self._authorization}.items():
                connection.putheader(name, value)
            for pair in metadata:
                connection.putheader("Ais-Custom-Md", pair.encode())
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read()  # IncompleteRead if it is cut off
        except http.client.HTTPException as error:
            self.close()
            raise ConnectionError(f"the node's answer broke off: {error!r}") from error
        except BaseException:
            self.close()
            raise
        if response.status >= 300:
            raise _error_of(response.status, response.headers, content)
        if method == "GET" and response.headers.get("Content-Length") is None and (
                response.headers.get("Transfer-Encoding") is None):
            self.close()
            raise ConnectionError("the answer does not say where it ends")
        return _Answer(response.headers, content)

    def _connection(self, timeout_s: float | None) -> http.client.HTTPConnection:
        local = self._local
        connection = getattr(local, "connection", None)
        if connection is not None and local.process != os.getpid():
            connection.close()  # the parent's; our copy of its socket alone
            connection = None
        if connection is None:
            connection = (
                http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
                if self._tls is None else
                http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s,
                                            context=self._tls))
            local.connection, local.process = connection, os.getpid()
        elif connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        return connection
