"""The lineage as data: the documented JSON shape, rows for CSV, and Graphviz' dot."""

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.views import figures
from orchestrator.views.clean import one_line
from orchestrator.views.family import family
from orchestrator.views.styles import verdict_mark
from orchestrator.views.svg_style import look_of
from tools.record.lineage import Lineage

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
            "tokens_per_second": _product(node.estimate, baseline),
            "perplexity": node.perplexity,
            "verdict": node.verdict,
            "verified": node.verified is not None,
            "suspected_by": sorted(node.suspected_by),
            "on_frontier": node.attempt in frontier,
        }
        for node in lineage.nodes.values()
    ]
    return {"simulated": lineage.simulated_jobs > 0, "nodes": nodes}


def lineage_csv_rows(lineage: Lineage) -> Iterator[dict[str, Any]]:
    """Yield one flat row per attempt; parents as `a0001:builds-on a0002:merges`."""
    data = lineage_json(lineage)
    for node in data["nodes"]:
        edges = (f"{parent['attempt']}:{parent['kind']}" for parent in node["parents"])
        yield node | {"parents": " ".join(edges), "simulated": data["simulated"]}


def lineage_dot(lineage: Lineage, *, title: str) -> str:
    """Return the lineage for Graphviz."""
    tree = family(lineage)
    best = set(zip(tree.best_path, tree.best_path[1:], strict=False))
    lines = ["digraph lineage {", f"  label={_quoted(title)}; labelloc=t; rankdir=LR;"]
    lines += ['  node [shape=box style="rounded,filled" fontname="sans-serif"];']
    for name, node in lineage.nodes.items():
        speed = tree.speeds[name]
        text = figures.ratio(speed) if speed else node.state
        label = _quoted(f"{name} {text}{verdict_mark(node)}\n{one_line(node.agent)}")
        lines.append(f'  {name} [label={label} fillcolor="{_FILL[look_of(node)]}"];')
        for parent in node.parents:
            bold = " penwidth=3" if (parent.attempt, name) in best else ""
            dashed = "" if parent == node.parents[0] else " style=dashed"
            lines.append(f'  {parent.attempt} -> {name} [tooltip="{parent.kind}"{bold}{dashed}];')
    return "\n".join([*lines, "}", ""])


def _product(speed: float | None, baseline: float | None) -> float | None:
    return None if speed is None or baseline is None else speed * baseline


def _quoted(text: str) -> str:
    """A JSON string is a valid dot string: the same quotes, the same escapes for them."""
    return json.dumps(text, ensure_ascii=False)
