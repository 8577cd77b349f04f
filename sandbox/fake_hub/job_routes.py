"""The routes of jobs: /api/jobs/..., as the Hub's clients use them."""

import json
import time
from collections.abc import Iterator
from typing import Any

from sandbox.fake_hub.fake_job import FakeJob
from sandbox.fake_hub.faults import FaultPlan
from sandbox.fake_hub.job_queue import FLAVORS, Flavor, JobQueue, Refused
from sandbox.fake_hub.stamps import stamp
from sandbox.fake_hub.wire import Exchange
from sandbox.processes import tree_resident_bytes

PAGE = 20
KEEP_ALIVE_SECONDS = 5.0
METRIC_SECONDS = 1.0
_MINUTES_PER_HOUR = 60


def hardware(exchange: Exchange) -> None:
    """List the flavors and their prices."""
    exchange.reply([_hardware(flavor) for flavor in FLAVORS])


def _hardware(flavor: Flavor) -> dict[str, Any]:
    usd = flavor.usd_per_hour / _MINUTES_PER_HOUR
    accelerator = {
        "type": "gpu",
        "model": flavor.accelerator,
        "quantity": "1",
        "vram": "24 GB",
        "manufacturer": "Nvidia",
    }
    return {
        "name": flavor.name,
        "prettyName": flavor.name,
        "cpu": flavor.cpu,
        "ram": flavor.ram,
        "accelerator": accelerator if flavor.accelerator else None,
        "unitCostMicroUSD": round(usd * 1e6),
        "unitCostUSD": usd,
        "unitLabel": "minute",
    }


def jobs(exchange: Exchange, queue: JobQueue, plan: FaultPlan, namespace: str) -> None:
    """Launch a job, or list them."""
    if exchange.command == "POST":
        _launch(exchange, queue, plan, namespace)
        return
    wanted = [label.split("=", 1) for label in exchange.query.get("label", ())]
    stages = exchange.query.get("stage", [])
    found = [
        info
        for info in (job.info() for job in queue.all() if job.order.namespace == namespace)
        if (not stages or info["status"]["stage"] in stages)
        and all(info["labels"].get(name) == value for name, value in wanted)
    ]
    page(exchange, found, PAGE)


def page(exchange: Exchange, found: list[Any], size: int) -> None:
    """Answer with one page of a list, and a link to the next."""
    first = int(exchange.query.get("cursor", ["0"])[0])
    headers = {}
    if first + size < len(found):
        address, _, query = exchange.path.partition("?")
        kept = "&".join(p for p in query.split("&") if p and not p.startswith("cursor="))
        base = f"http://{exchange.headers['Host']}{address}"
        headers["Link"] = f'<{base}?{kept}{"&" if kept else ""}cursor={first + size}>; rel="next"'
    exchange.reply(found[first : first + size], headers=headers)


def _launch(exchange: Exchange, queue: JobQueue, plan: FaultPlan, namespace: str) -> None:
    if plan.strikes("unheard_launch"):
        exchange.hang_up()
        return
    try:
        job = queue.launch(namespace, json.loads(exchange.content))
    except Refused as refused:
        exchange.refuse(refused.status, str(refused))
        return
    if plan.strikes("lost_launch"):
        exchange.hang_up()
        return
    exchange.reply(job.info())


def job(exchange: Exchange, queue: JobQueue, plan: FaultPlan, rest: list[str]) -> None:
    """Show a job, cancel it, or stream what it says or uses."""
    found = queue.get(rest[0])
    action = rest[1] if len(rest) > 1 else ""
    if found is None:
        exchange.refuse(404, "Job not found")
    elif action == "cancel":
        found.cancel()
        exchange.reply(found.info())
    elif action == "logs":
        tail = exchange.query.get("tail")
        exchange.stream(_logs(found, plan, int(tail[0]) if tail else None))
    elif action == "metrics":
        if found.is_over:
            exchange.refuse(406, "Job has ended")
        else:
            exchange.stream(_metrics(found))
    else:
        exchange.reply(found.info())


def _logs(found: FakeJob, plan: FaultPlan, tail: int | None) -> Iterator[bytes]:
    """Tell all lines, old and new, until the job has ended."""
    at = max(0, len(found.logs) - tail) if tail is not None else 0
    cut = plan.strikes("cut_log")
    while True:
        lines, is_over = _next_lines(found, at)
        at += len(lines)
        for seconds, line in lines[: len(lines) // 2] if cut else lines:
            yield _event({"data": line, "timestamp": stamp(seconds)})
        if cut and at:
            raise ConnectionAbortedError("cut by order")
        if is_over:
            return
        if not lines:
            yield b": keep-alive\n\n"


def _next_lines(found: FakeJob, at: int) -> tuple[list[tuple[float, str]], bool]:
    """Wait for lines beyond `at`, or the end."""
    with found.changed:
        found.changed.wait_for(lambda: len(found.logs) > at or found.is_over, KEEP_ALIVE_SECONDS)
        return found.logs[at:], found.is_over


def _metrics(found: FakeJob) -> Iterator[bytes]:
    while not found.is_over:
        yield b"event: metric\n" + _event(
            {
                "cpu_usage_pct": 0,
                "cpu_millicores": 2000,
                "memory_used_bytes": tree_resident_bytes(found.pid) if found.pid else 0,
                "memory_total_bytes": 16 << 30,
                "gpus": {},
                "rx_bps": 0,
                "tx_bps": 0,
                "replica": "0",
                "timestamp": stamp(time.time()),
            }
        )
        with found.changed:
            found.changed.wait_for(lambda: found.is_over, METRIC_SECONDS)


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"
