"""The colours and line styles of the lineage picture, for light and dark pages.

The picture carries its own panel, so that its text is readable wherever it is shown; viewers that
know `prefers-color-scheme` get a dark panel, the others the light one.
"""

from typing import Literal

from tools.record.lineage import Node

Look = Literal["valid", "pending", "suspect", "invalid", "failed", "waiting", "baseline"]

LEGEND: dict[Look, str] = {
    "baseline": "baseline",
    "valid": "verified",
    "pending": "measured",
    "suspect": "suspect",
    "invalid": "rejected",
    "failed": "failed",
    "waiting": "waiting",
}


def look_of(node: Node) -> Look:
    """Return how a node is drawn: by its verdict once measured, else by its state."""
    if node.verdict == "invalid":
        return "invalid"
    if node.is_baseline:
        return "baseline"
    if node.verdict == "suspect":
        return "suspect"
    if node.state in ("failed", "cancelled", "negative"):
        return "failed"
    return node.verdict if node.state == "measured" else "waiting"


# Hues of the Okabe-Ito set, which colour-blind readers can tell apart, toned for both panels.
STYLE = """
.panel{fill:#fbfaf7;stroke:#d8d5cc}
text{font:10px system-ui,'DejaVu Sans',sans-serif;fill:#24292f}
.title{font-size:15px;font-weight:600}
.soft{font-size:11px;fill:#5c636b}
.id{font-weight:600}
.speed{text-anchor:end}
.agent{font-size:8.5px;fill:#5c636b}
.edge{fill:none;stroke:#a8adb4;stroke-width:1.2}
.edge.side{stroke:#b65a94;stroke-dasharray:5 3}
.edge.side.confirms{stroke:#1b8a68;stroke-dasharray:1 3}
.edge.side.refutes{stroke:#cc4a1f;stroke-dasharray:1 3}
.dots .edge{stroke-width:.6}.dots .edge.side{stroke-width:.4;stroke-opacity:.3}
.dots .box{stroke-width:.5}
svg .edge.best{stroke:#24292f;stroke-width:3}
.box{fill:#fff;stroke:#8a8f98;stroke-width:1.3}
.bar{fill:#8a8f98}
.ring{fill:#e0a100;stroke:#fbfaf7;stroke-width:1.5}
.node.best .box{stroke-width:2.6}
.valid .box{stroke:#1b8a68;fill:#d9f0e7}.valid .bar{fill:#1b8a68}
.pending .box{stroke:#2877b8;fill:#e3eff9}.pending .bar{fill:#2877b8}
.suspect .box{stroke:#b98900;fill:#fbefcf}.suspect .bar{fill:#b98900}
.invalid .box{stroke:#cc4a1f;fill:#fbe4db;stroke-dasharray:4 2}.invalid .bar{fill:#cc4a1f}
.invalid .speed{text-decoration:line-through}
.suspect .box{stroke-dasharray:6 2}
.failed .box{fill:#eceae4;stroke-dasharray:2 2}
.waiting .box{stroke-dasharray:2 2}
.baseline .box{stroke:#24292f;fill:#eceae4}.baseline .bar{fill:#24292f}
@media (prefers-color-scheme:dark){
.panel{fill:#15191f;stroke:#30363d}
text{fill:#e6e8eb}
.soft,.agent{fill:#9aa3ad}
.edge{stroke:#59616b}
svg .edge.best{stroke:#e6e8eb}
.box{fill:#1d232b}
.ring{stroke:#15191f}
.valid .box{fill:#123a2e}
.pending .box{fill:#12304a}
.suspect .box{fill:#40320a}
.invalid .box{fill:#45210f}
.failed .box{fill:#22262c}
.baseline .box{stroke:#e6e8eb;fill:#2b3138}.baseline .bar{fill:#e6e8eb}
}
"""
