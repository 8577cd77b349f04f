"""The lineage as one self-contained SVG file, laid out here: no script, no font, no network.

Left to right = generations, the way to the best attempt on top. Every colour also has a shape or a
word. Knows the fold and its family tree; writes no file.
"""

from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from orchestrator.views import figures
from orchestrator.views.clean import one_line
from orchestrator.views.family import Family, SideEdge, family
from orchestrator.views.layout import Place, tidy
from orchestrator.views.speeds import speed_words
from orchestrator.views.styles import verdict_mark
from orchestrator.views.svg_style import LEGEND, STYLE, look_of
from tools.record.lineage import Lineage, Node

MOST_LABELLED_ROWS = 120
"""Above this many rows the nodes become dots: a taller picture is not read label by label."""
TALLEST_PX = 8000.0
NARROWEST_PX = 880.0
"""Room for a title."""
HEAD_PX = 74.0
FOOT_PX = 46.0
MARGIN_PX = 24.0


class Geometry(NamedTuple):
    """Sizes in pixels. A labelled node is a box, an unlabelled one a dot."""

    labelled: bool
    node_width: float
    node_height: float
    column_pitch: float
    row_pitch: float

    def left(self, place: Place) -> float:
        """Left edge of a node."""
        return MARGIN_PX + place.column * self.column_pitch

    def middle(self, place: Place) -> float:
        """Vertical centre of a node."""
        return HEAD_PX + (place.row + 0.5) * self.row_pitch


def lineage_svg(lineage: Lineage, *, title: str, simulated: bool = False) -> str:
    """Return the picture. `title` is a sentence; a simulated session is labelled as such."""
    tree = family(lineage)
    places = tidy(tree.roots, tree.children)
    rows = 1 + max((place.row for place in places.values()), default=0)
    columns = 1 + max((place.column for place in places.values()), default=0)
    geometry = _geometry(rows)
    legend = _legend_keys(lineage, tree)
    wanted = (columns * geometry.column_pitch, sum(key.width for key in legend))
    width = max(NARROWEST_PX, 2 * MARGIN_PX + max(wanted))
    height = HEAD_PX + rows * geometry.row_pitch + FOOT_PX
    parts = [
        *_opening(width, height, title=title, subtitle=_subtitle(lineage, tree, simulated)),
        f'<g class="{"boxes" if geometry.labelled else "dots"}">',
        *_edges(tree, places, geometry),
        *_nodes(lineage, tree, places, geometry),
        "</g>",
        *_legend(legend, height),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _geometry(rows: int) -> Geometry:
    if rows <= MOST_LABELLED_ROWS:
        return Geometry(True, 112.0, 30.0, 144.0, 38.0)
    pitch = min(9.0, max(1.5, TALLEST_PX / rows))
    return Geometry(False, 0.6 * pitch, 0.6 * pitch, 64.0, pitch)


def _subtitle(lineage: Lineage, tree: Family, simulated: bool) -> str:
    agents = {node.agent for node in lineage.nodes.values() if not node.is_baseline}
    attempts = sum(not node.is_baseline for node in lineage.nodes.values())
    words = [f"{figures.count(attempts, 'attempt')} by {figures.count(len(agents), 'agent')}"]
    if tree.best_path:
        best = tree.best_path[-1]
        words.append(f"best {best} at {_best_words(lineage.nodes[best])}")
    if simulated:
        words.append("SIMULATED numbers")
    if lineage.reported_results:
        words.append("REPORTED by others, measured elsewhere")
    return " · ".join(words)


def _best_words(node: Node) -> str:
    if node.reported is not None:
        return speed_words(node)
    return f"{figures.speedup(node.speedup)} the baseline's speed"


def _opening(width: float, height: float, *, title: str, subtitle: str) -> Iterable[str]:
    title, subtitle = escape(one_line(title)), escape(one_line(subtitle))
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
    )
    yield f"<title>{title}</title><desc>{subtitle}</desc><style>{STYLE}</style>"
    yield f'<rect class="panel" width="{width:.0f}" height="{height:.0f}" rx="10"/>'
    yield f'<text class="title" x="{MARGIN_PX}" y="32">{title}</text>'
    yield f'<text class="soft" x="{MARGIN_PX}" y="52">{subtitle}</text>'


def _edges(tree: Family, places: dict[str, Place], geometry: Geometry) -> Iterable[str]:
    best = set(zip(tree.best_path, tree.best_path[1:], strict=False))
    plain: list[str] = []
    bold: list[str] = []
    for parent, children in tree.children.items():
        for child in children:
            elbow = _elbow(places[parent], places[child], geometry)
            (bold if (parent, child) in best else plain).append(elbow)
    yield f'<path class="edge" d="{"".join(plain)}"/>'
    for edge in tree.side_edges:
        yield _side_edge(edge, places, geometry)
    yield f'<path class="edge best" d="{"".join(bold)}"/>'


def _elbow(parent: Place, child: Place, geometry: Geometry) -> str:
    x, y = geometry.left(parent) + geometry.node_width, geometry.middle(parent)
    x2, y2 = geometry.left(child), geometry.middle(child)
    if parent.row == child.row:
        return f"M{x:.1f} {y:.1f}H{x2:.1f}"
    bend = x + (geometry.column_pitch - geometry.node_width) / 2
    round_px = min(6.0, geometry.row_pitch / 2)
    return (
        f"M{x:.1f} {y:.1f}H{bend - round_px:.1f}q{round_px:.1f} 0 {round_px:.1f} {round_px:.1f}"
        f"V{y2 - round_px:.1f}q0 {round_px:.1f} {round_px:.1f} {round_px:.1f}H{x2:.1f}"
    )


def _side_edge(edge: SideEdge, places: dict[str, Place], geometry: Geometry) -> str:
    parent, child = places[edge.parent], places[edge.child]
    x, y = geometry.left(parent) + geometry.node_width, geometry.middle(parent)
    x2, y2 = geometry.left(child), geometry.middle(child)
    reach = max(30.0, abs(x2 - x) / 2)
    return (
        f'<path class="edge side {edge.kind}" d="M{x:.1f} {y:.1f}'
        f'C{x + reach:.1f} {y:.1f} {x2 - reach:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"/>'
    )


def _nodes(
    lineage: Lineage, tree: Family, places: dict[str, Place], geometry: Geometry
) -> Iterable[str]:
    best_path = frozenset(tree.best_path)
    fastest = lineage.nodes[tree.best_path[-1]].pace if tree.best_path else None
    for name, place in places.items():
        node = lineage.nodes[name]
        classes = f"node {look_of(node)}"
        classes += " best" * (name in best_path) + " frontier" * (name in tree.frontier)
        body = (
            _box(node, tree, place, geometry=geometry, fastest=fastest)
            if geometry.labelled
            else _dot(node, tree, place, geometry)
        )
        tip = escape(_tip(node))
        yield f'<g class="{classes}" data-attempt-id="{name}"><title>{tip}</title>{body}</g>'


def _box(
    node: Node, tree: Family, place: Place, *, geometry: Geometry, fastest: float | None
) -> str:
    x, y = geometry.left(place), geometry.middle(place) - geometry.node_height / 2
    width, height = geometry.node_width, geometry.node_height
    share = min(1.0, node.pace / fastest) if node.pace and fastest else 0.0
    value = (_short(node) if node.pace else node.state) + verdict_mark(node)
    ring = f'<circle class="ring" cx="{x + width:.1f}" cy="{y:.1f}" r="4"/>'
    return (
        f'<rect class="box" x="{x:.1f}" y="{y:.1f}" width="{width}" height="{height}" rx="5"/>'
        f'<rect class="bar" x="{x + 5:.1f}" y="{y + height - 4:.1f}" '
        f'width="{(width - 10) * share:.1f}" height="2"/>'
        f'<text class="id" x="{x + 7:.1f}" y="{y + 12:.1f}">{node.attempt}</text>'
        f'<text class="speed" x="{x + width - 7:.1f}" y="{y + 12:.1f}">{value}</text>'
        f'<text class="agent" x="{x + 7:.1f}" y="{y + 22.5:.1f}">'
        f"{escape(one_line(node.agent, limit=20))}</text>" + ring * (node.attempt in tree.frontier)
    )


def _short(node: Node) -> str:
    if node.reported is not None:
        return f"{figures.tokens(node.pace)}/s"
    return figures.ratio(node.estimate)


def _dot(node: Node, tree: Family, place: Place, geometry: Geometry) -> str:
    x, y = geometry.left(place) + geometry.node_width / 2, geometry.middle(place)
    dot = f'<circle class="box" cx="{x:.1f}" cy="{y:.1f}" r="{geometry.node_width / 2:.2f}"/>'
    if node.attempt not in tree.best_path:
        return dot
    return dot + f'<text class="agent" x="{x - 4:.1f}" y="{y - 7:.1f}">{node.attempt}</text>'


def _tip(node: Node) -> str:
    speed = speed_words(node)
    origin = "".join(f" {name}" for name in sorted(node.suspected_by))
    why = "" if node.verdict in ("pending", "valid") else f" ({node.verdict_reason}{origin})"
    return one_line(
        f"{node.attempt} by {node.agent}: {speed}, perplexity "
        f"{figures.perplexity(node.perplexity)}, {node.state}, {node.verdict}{why}. "
        f"{node.hypothesis}",
        limit=300,
    )


class Key(NamedTuple):
    """One entry of the legend."""

    mark: str
    words: str

    @property
    def width(self) -> float:
        """Pixels it takes, the space after it included."""
        return 40 + 6.2 * len(self.words)


def _legend_keys(lineage: Lineage, tree: Family) -> list[Key]:
    present = {look_of(node) for node in lineage.nodes.values()}
    boxes = [
        Key(_BOX_KEY.format(look=look), words) for look, words in LEGEND.items() if look in present
    ]
    lines = [Key(_LINE_KEY.format(line="best"), "way to the best")] * bool(tree.best_path)
    lines += [Key(_LINE_KEY.format(line="side"), "further parent")] * bool(tree.side_edges)
    return [*boxes, *lines, Key(_RING_KEY, "record when measured")]


def _legend(keys: Iterable[Key], height: float) -> Iterable[str]:
    x, y = MARGIN_PX, height - 20
    for key in keys:
        yield (
            f'<g transform="translate({x:.1f} {y:.1f})">{key.mark}'
            f'<text class="soft" x="24">{key.words}</text></g>'
        )
        x += key.width


_BOX_KEY = '<g class="node {look}"><rect class="box" y="-9" width="18" height="11" rx="3"/></g>'
_LINE_KEY = '<path class="edge {line}" d="M0 -4h18"/>'
_RING_KEY = '<g class="node"><circle class="ring" cx="9" cy="-4" r="4"/></g>'
