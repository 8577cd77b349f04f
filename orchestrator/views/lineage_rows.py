"""The lineage as data: the documented JSON shape, rows for CSV, and Graphviz' dot."""

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.views.clean import one_line
from orchestrator.views.family import family
from orchestrator.views.speeds import edge_words, speed_words
from orchestrator.views.styles import verdict_mark
from orchestrator.views.svg_style import look_of
from tools.record.lineage import Lineage, Node

_FILL = {
    "valid": "#d9f0e7",
    "pending": "#e3eff9",
    "suspect": "#fbefcf",
    "invalid": "#fbe4db",
    "failed": "#eceae4",
    "waiting": "#ffffff",
    "baseline": "#eceae4",
}


def lineage_json(lineage: Lineage) -> dict[str, Any]:
    """Return `{nodes: [{attempt, agent, parents: [{attempt, kind}], ...}]}`; unknown is None."""
    frontier = {node.attempt for node in lineage.frontier()}
    baseline = lineage.baseline_tokens_per_second
    nodes = [
        {
            "attempt": node.attempt,
            "agent": node.agent,
            "parents": [parent.model_dump(mode="json") for parent in node.parents],
            "fingerprint": node.fingerprint,
            "state": node.state,
            "tokens_per_second": _speed(node, baseline),
            "perplexity": node.perplexity,
            "verdict": node.verdict,
            "verified": node.verified is not None,
            "suspected_by": sorted(node.suspected_by),
            "on_frontier": node.attempt in frontier,
        }
        | _reported(node)
        for node in lineage.nodes.values()
    ]
    return {
        "simulated": lineage.simulated_jobs > 0,
        "reported": lineage.reported_results > 0,
        "nodes": nodes,
    }


def lineage_csv_rows(lineage: Lineage) -> Iterator[dict[str, Any]]:
    """Yield one flat row per attempt; parents as `a0001:builds-on a0002:merges`."""
    data = lineage_json(lineage)
    for node in data["nodes"]:
        edges = (f"{parent['attempt']}:{parent['kind']}" for parent in node["parents"])
        labels = {"simulated": data["simulated"], "reported": data["reported"]}
        yield node | {"parents": " ".join(edges)} | labels


def lineage_dot(lineage: Lineage, *, title: str) -> str:
    """Return the lineage for Graphviz."""
    tree = family(lineage)
    best = set(zip(tree.best_path, tree.best_path[1:], strict=False))
    lines = ["digraph lineage {", f"  label={_quoted(title)}; labelloc=t; rankdir=LR;"]
    lines += ['  node [shape=box style="rounded,filled" fontname="sans-serif"];']
    for name, node in lineage.nodes.items():
        text = speed_words(node) if node.pace else node.state
        label = _quoted(f"{name} {text}{verdict_mark(node)}\n{one_line(node.agent)}")
        lines.append(f'  {name} [label={label} fillcolor="{_FILL[look_of(node)]}"];')
        for parent in node.parents:
            bold = " penwidth=3" if (parent.attempt, name) in best else ""
            dashed = "" if parent == node.parents[0] else " style=dashed"
            tip = _quoted(one_line(edge_words(parent)))
            lines.append(f"  {parent.attempt} -> {name} [tooltip={tip}{bold}{dashed}];")
    return "\n".join([*lines, "}", ""])


def _speed(node: Node, baseline: float | None) -> float | None:
    """Tokens per second; the estimate alone, since intervals cost a millisecond each."""
    if node.reported is not None:
        return node.reported.tokens_per_second
    return None if node.estimate is None or baseline is None else node.estimate * baseline


def _reported(node: Node) -> dict[str, Any]:
    """Return what is known of a reported result besides its figures; nothing of other attempts."""
    one = node.reported
    if one is None:
        return {}
    said = {"status": one.status, "source": one.source, "time": one.time, "note": one.note}
    return {"reported": said}


def _quoted(text: str) -> str:
    """A JSON string is a valid dot string: the same quotes, the same escapes for them."""
    return json.dumps(text, ensure_ascii=False)
