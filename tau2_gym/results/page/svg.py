"""Plots of matplotlib as parts of the page: without styles and ids of their own, in the page's colours.

A plot is drawn in colours that stand for names (`colour`). In the page these are classes, which its style sheet
gives colours, one for light and one for dark. The page allows no style attributes, so they become plain ones.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
NAMES = [
    *("ink", "muted", "rule", "page"),
    *(f"run{number}" for number in range(6)),
    *("passed", "failed", "fault", "ungraded"),
    *(f"end{number}" for number in range(5)),
]
"""What colours stand for, as in `page.css`: `.fill-NAME` and `.line-NAME`."""

DROPPED = ("metadata", "style", "title")


def colour(name: str) -> str:
    """The colour that stands for a name."""
    return f"#0000{NAMES.index(name):02x}"


def inlined(figure: Figure, name: str, label: str, tips: dict[str, str]) -> str:
    """The figure as an SVG element for the page.

    Args:
        figure: drawn in the colours of `colour`.
        name: what its ids begin with; no two plots of a page have the same.
        label: what it shows, for those who cannot see it.
        tips: what to say of a part of it that is pointed at, by the part's `gid`.
    """
    import matplotlib as mpl

    buffer = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", XLINK)
    root = ET.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in DROPPED:
                parent.remove(child)
    for element in root.iter():
        tip = tips.get(element.get("id", ""))
        _restyle(element)
        _rename(element, name)
        if tip is not None:
            title = ET.Element(f"{{{SVG}}}title")
            title.text = tip
            element.insert(0, title)
            element.set("class", f"{element.get('class', '')} tip".strip())
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    # What matplotlib's own style sheet, which is dropped, says of everything.
    root.set("stroke-linejoin", "round")
    root.set("stroke-linecap", "butt")
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("class", "plot")
    return ET.tostring(root, encoding="unicode")


def _restyle(element: ET.Element) -> None:
    """Put a style's declarations into attributes, and colours into classes."""
    for declaration in (element.attrib.pop("style", "") or "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font":
            found = re.search(r"([\d.]+)px", value)
            element.set("font-size", found[1] if found else "10")
            if re.match(r"(bold|[67]00)\b", value):
                element.set("font-weight", "600")
        elif key in ("fill", "stroke") and value.startswith("#0000"):
            kind = "fill" if key == "fill" else "line"
            named = f"{kind}-{NAMES[int(value[1:], 16)]}"
            element.set("class", f"{element.get('class', '')} {named}".strip())
        elif key and key != "font-family":
            element.set(key, value)
    if element.tag == f"{{{SVG}}}text" and "fill-" not in element.get("class", ""):
        element.set("class", f"{element.get('class', '')} fill-ink".strip())


def _rename(element: ET.Element, name: str) -> None:
    """Give ids, and what refers to them, the plot's name."""
    for key, value in element.attrib.items():
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif key == f"{{{XLINK}}}href":
            element.set(key, f"#{name}-{value.removeprefix('#')}")
        elif "url(#" in value:
            element.set(key, value.replace("url(#", f"url(#{name}-"))
