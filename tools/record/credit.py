"""Whose work an attempt is: replicates that back it, and copies that do not say so. Pure.

Knows measured facts only. A post that says "confirmed" confirms nothing: it moves neither a rank
nor a record, and is not read here.
"""

from collections import defaultdict

from bench.config import diff
from bench.configs.engine_config import EngineConfig
from bench.configs.llamacpp import LlamaCppConfig
from tools.record.lineage import Lineage, Node, Run

BACKING_SHARE = 0.95
"""A replicate backs a first run of which it reaches this share: the 5 % by which the Fast Gemma
Challenge let a verified speed differ from the claimed one."""

INERT_LEVERS = frozenset({"poll", "batch_tokens", "micro_batch_tokens", "memory_map"})
"""Changing these alone makes no attempt one's own: with one short request at a time the batch
sizes, the polling and the mapping move the speed by less than two launches differ."""

SIZE_PATH = "weights.vocabulary.size"
SIZE_SHARE = 0.02
"""A keep-set within 2 % of another's size is the same keep-set."""


def confirmations(lineage: Lineage) -> dict[str, list[str]]:
    """Return, per attempt, the other agents whose own replicate backs it, first come first."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for node in lineage.nodes.values():
        for run in node.runs:
            agent = run.requested_by
            is_others = run.replicate and agent != node.agent and agent not in found[node.attempt]
            if is_others and _backs(run, node):
                found[node.attempt].append(agent)
    return {attempt: agents for attempt, agents in found.items() if agents}


def uncited_source(lineage: Lineage, node: Node) -> str | None:
    """Return the attempt that `node` copies without naming it, None when there is none.

    That is an earlier attempt of another agent, no ancestor of it, that its config is nearer to
    than to any parent it names, and from which it differs by inert levers alone. The nearest of
    them; of equally near ones the oldest.
    """
    parents = [lineage.nodes[one.attempt] for one in node.parents if one.attempt in lineage.nodes]
    if not parents:
        return None
    named = min(len(_differing(parent.config, node.config)) for parent in parents)
    ancestors = set(lineage.ancestors(node.attempt))
    sources = [
        (len(paths), other.seq, other.attempt)
        for other in lineage.nodes.values()
        if _could_be_source(other, node) and other.attempt not in ancestors
        for paths in [_differing(other.config, node.config)]
        if len(paths) < named and all(_is_inert(path, other.config, node.config) for path in paths)
    ]
    return min(sources)[2] if sources else None


def _backs(run: Run, node: Node) -> bool:
    measured = run.outcome.measurement if run.outcome else None
    if measured is None:
        return False
    first = next(one for one in node.all_measurements if one.stage == measured.stage)
    return first is not measured and measured.speedup >= BACKING_SHARE * first.speedup


def _could_be_source(other: Node, node: Node) -> bool:
    """The baseline is nobody's; what came later cannot have been copied; other code is other."""
    is_earlier = bool(other.parents) and other.agent != node.agent and other.seq < node.seq
    return is_earlier and other.files == node.files


def _differing(old: EngineConfig, new: EngineConfig) -> frozenset[str]:
    """Return the paths of the leaves that the two set differently."""
    return frozenset(diff(old, new)) | frozenset(diff(new, old))


def _is_inert(path: str, old: EngineConfig, new: EngineConfig) -> bool:
    if path == SIZE_PATH:
        sizes = [size for config in (old, new) if (size := _kept_rows(config))]
        return len(sizes) == len((old, new)) and max(sizes) - min(sizes) <= SIZE_SHARE * max(sizes)
    if path.startswith("speculation."):  # settings of a speculation that is switched off
        return not old.speculates and not new.speculates
    return path in INERT_LEVERS


def _kept_rows(config: EngineConfig) -> int | None:
    kept = config.weights.vocabulary if isinstance(config, LlamaCppConfig) else None
    return kept.size if kept else None
