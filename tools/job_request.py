"""What a job costs at most and which seed it gets: pure, so that it can be done again."""

import hashlib
import math
from collections.abc import Mapping

from bench.challenge import Challenge
from bench.measurement import Stage
from tools.record.events import JobRequested
from tools.record.lineage import Node

_SECONDS_PER_HOUR = 3600
_STARTS_ALONE: Mapping[Stage, int] = {"fresh": 2, "private": 3}
"""Engines that a job starts one after another where the device holds one."""


def job_request(
    node: Node, stage: Stage, *, session: str, challenge: Challenge, replicate: bool = False
) -> JobRequested:
    """Return the intent to run `node` once more, its budget reserved at the hard limits."""
    job = f"{node.attempt}-{len(node.runs) + 1}"
    seconds = reserved_seconds(challenge, stage)
    return JobRequested(
        job=job,
        attempt=node.attempt,
        stage=stage,
        replicate=replicate,
        seed=job_seed(session, job),
        reserved_seconds=seconds,
        reserved_usd=reserved_usd(challenge, stage),
    )


def reserved_seconds(challenge: Challenge, stage: Stage) -> float:
    """Return the hard limit of a job, building included: more cannot be spent."""
    starts = _STARTS_ALONE.get(stage, 1) if challenge.protocol.alone else 1
    return wall_seconds(challenge, stage) + starts * challenge.quotas.build_seconds


def wall_seconds(challenge: Challenge, stage: Stage) -> float:
    """Return the hard limit of a job, building aside."""
    if stage == "private":
        assert challenge.verification is not None  # nothing private is asked for without the rule
        return challenge.verification.wall_seconds
    if stage == "fresh":
        return challenge.promotion.wall_seconds
    protocol = challenge.protocol
    return (protocol.screen if stage == "screen" else protocol.full).wall_seconds


def reserved_usd(challenge: Challenge, stage: Stage) -> float:
    """Return what `reserved_seconds` cost, rounded up to a millionth of a dollar."""
    usd = reserved_seconds(challenge, stage) * challenge.device_usd_per_hour / _SECONDS_PER_HOUR
    return math.ceil(usd * 1e6) / 1e6


def job_seed(session: str, job: str) -> int:
    """Return a 31-bit seed that depends on session and job only."""
    digest = hashlib.sha256(f"{session}/{job}".encode()).digest()
    return int.from_bytes(digest[:4]) >> 1
