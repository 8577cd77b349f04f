"""The routes of buckets and of the store that holds their bytes, as the Hub's clients use them."""

import json
import time
from typing import Any

from sandbox.errors import JobError
from sandbox.fake_hub import xet
from sandbox.fake_hub.bucket_store import BucketEntry, BucketStore
from sandbox.fake_hub.job_routes import page
from sandbox.fake_hub.stamps import stamp
from sandbox.fake_hub.wire import Exchange

PAGE = 200
XET_TOKEN = "xet-loopback"  # noqa: S105 - of the fake's store only; worth nothing elsewhere
XET_TOKEN_SECONDS = 3600


def bucket(exchange: Exchange, store: BucketStore, cas_url: str, parts: list[str]) -> None:
    """Answer /api/buckets/NAMESPACE[/NAME[/ACTION]]."""
    if len(parts) == 1:
        page(exchange, [_about(store, name) for name in store.names(parts[0])], PAGE)
        return
    name, rest = "/".join(parts[:2]), parts[2:]
    action = rest[0] if rest else ""
    if exchange.command == "POST" and not action:
        _create(exchange, store, name)
    elif not store.exists(name):
        exchange.refuse(404, "Bucket not found", code="RepoNotFound")
    elif exchange.command == "DELETE" and not action:
        store.drop(name)
        exchange.reply({})
    elif action in {"xet-write-token", "xet-read-token"}:
        _token(exchange, cas_url)
    elif action == "batch":
        _batch(exchange, store, name)
    elif action == "tree":
        _tree(exchange, store, name, "/".join(rest[1:]))
    elif action == "paths-info":
        wanted = set(json.loads(exchange.content)["paths"])
        exchange.reply([_file(one) for one in store.entries(name) if one.path in wanted])
    elif not action:
        exchange.reply(_about(store, name))
    else:
        exchange.refuse(404, "Not found")


def _create(exchange: Exchange, store: BucketStore, name: str) -> None:
    address = f"http://{exchange.headers['Host']}/buckets/{name}"
    if store.create(name):
        exchange.reply({"url": address, "name": name})
    else:
        exchange.reply({"url": address, "error": "Bucket already exists"}, status=409)


def _about(store: BucketStore, name: str) -> dict[str, Any]:
    found = store.entries(name)
    return {
        "id": name,
        "private": True,
        "createdAt": stamp(0.0),
        "size": sum(one.size for one in found),
        "totalFiles": len(found),
    }


def _token(exchange: Exchange, cas_url: str) -> None:
    expires = int(time.time()) + XET_TOKEN_SECONDS
    exchange.reply(
        {"casUrl": cas_url, "accessToken": XET_TOKEN, "exp": expires},
        headers={
            "X-Xet-Cas-Url": cas_url,
            "X-Xet-Access-Token": XET_TOKEN,
            "X-Xet-Token-Expiration": str(expires),
        },
    )


def _batch(exchange: Exchange, store: BucketStore, name: str) -> None:
    failed = []
    operations = [json.loads(line) for line in exchange.content.splitlines() if line.strip()]
    for operation in operations:
        try:
            _apply(store, name, operation)
        except (JobError, OSError) as error:
            failed.append({"path": operation["path"], "error": str(error)})
    done = len(operations) - len(failed)
    answer = {"success": not failed, "processed": len(operations), "succeeded": done}
    exchange.reply({**answer, "failed": failed}, status=422 if failed and not done else 200)


def _apply(store: BucketStore, name: str, operation: dict[str, Any]) -> None:
    if operation["type"] == "addFile":
        store.put(name, operation["path"], operation["xetHash"])
    elif operation["type"] == "deleteFile":
        store.delete(name, operation["path"])
    else:
        raise JobError(f"{operation['type']!r} is not known here")


def _tree(exchange: Exchange, store: BucketStore, name: str, prefix: str) -> None:
    """List by the letters of the prefix, as the Hub does; without `recursive` only one level."""
    found = store.entries(name, prefix)
    if exchange.query.get("recursive", [""])[0].lower() == "true":
        page(exchange, [_file(one) for one in found], PAGE)
        return
    listed: dict[str, Any] = {}
    for one in found:
        head, slash, _ = one.path[len(prefix) :].lstrip("/").partition("/")
        above = one.path[: one.path.index(head, len(prefix))] + head
        listed[above] = {"type": "directory", "path": above} if slash else _file(one)
    page(exchange, list(listed.values()), PAGE)


def _file(one: BucketEntry) -> dict[str, Any]:
    written = stamp(one.mtime)
    return {
        "type": "file",
        "path": one.path,
        "size": one.size,
        "xetHash": one.hash,
        "mtime": written,
        "uploadedAt": written,
    }


def resolve(exchange: Exchange, store: BucketStore, parts: list[str]) -> None:
    """Answer /buckets/NAMESPACE/NAME/resolve/PATH."""
    name, path = "/".join(parts[:2]), "/".join(parts[3:])
    found = [one for one in store.entries(name, path) if one.path == path]
    if not found:
        exchange.refuse(404, "Entry not found", code="EntryNotFound")
        return
    route = f"http://{exchange.headers['Host']}/api/buckets/{name}/xet-read-token"
    headers = {"X-Xet-Hash": found[0].hash, "X-Xet-Refresh-Route": route}
    exchange.reply_bytes(store.read(name, path), headers=headers)


def cas(exchange: Exchange, store: BucketStore, cas_url: str, parts: list[str]) -> None:
    """Answer what hf_xet asks of the store of bytes.

    It asks for newer routes first (v2, grants) and takes 404 as "use the older one".
    """
    if exchange.bearer() != XET_TOKEN and parts[:1] != ["data"]:
        exchange.refuse(401, "Invalid token")
    elif parts[:2] == ["v1", "xorbs"]:
        store.xorbs[parts[-1]] = exchange.content
        exchange.reply({"was_inserted": True})
    elif parts[:2] == ["v1", "shards"]:
        store.add_shard(exchange.content)
        exchange.reply({"result": 1})
    elif parts[:2] == ["v1", "reconstructions"]:
        size = len(store.content(parts[2]))
        exchange.reply(xet.reconstruction(parts[2], size, f"{cas_url}/data/{parts[2]}"))
    elif parts[:1] == ["data"]:
        _data(exchange, xet.packed(store.content(parts[1])))
    else:
        exchange.refuse(404, "Not found")


def _data(exchange: Exchange, whole: bytes) -> None:
    first, _, last = exchange.headers.get("Range", "bytes=0-").partition("=")[2].partition("-")
    start, end = int(first), int(last) if last else len(whole) - 1
    headers = {"Content-Range": f"bytes {start}-{end}/{len(whole)}"}
    exchange.reply_bytes(whole[start : end + 1], status=206, headers=headers)
