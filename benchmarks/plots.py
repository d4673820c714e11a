"""Plots as small SVG files (matplotlib: the extra ``bench``)."""

from __future__ import annotations

from pathlib import Path

from benchmarks.results import Plot

_SIZE_INCHES = (7.0, 3.4)
# Told apart in grey, too: each line has its own dash.
_DASHES = ("-", "--", "-.", ":")


def draw(plot: Plot, folder: Path) -> Path:
    """Write one; returns the file."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "lipstream"  # the same ids for the same plot
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text: a third of the size
    mpl.rcParams["font.size"] = 9
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=_SIZE_INCHES, layout="constrained")
    if plot.bars:
        _bars(axes, plot)
    else:
        for index, (name, points) in enumerate(plot.series.items()):
            xs, ys = zip(*points, strict=True)
            marker = "o" if len(points) < 20 else None
            dash = _DASHES[index % len(_DASHES)]
            axes.plot(xs, ys, label=name, linestyle=dash, marker=marker, markersize=3)
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
    axes.grid(alpha=0.3)
    if len(plot.series) > 1:
        figure.legend(loc="outside right upper", fontsize=8)
    path = folder / f"{plot.name}.svg"
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


def _bars(axes: object, plot: Plot) -> None:
    count = len(plot.series)
    width = 0.8 / count
    for index, (name, points) in enumerate(plot.series.items()):
        shift = (index - (count - 1) / 2) * width
        places = [x + shift for x, _y in points]
        axes.bar(places, [y for _x, y in points], width, label=name)  # type: ignore[attr-defined]
    axes.set_xticks(range(len(plot.ticks)), plot.ticks)  # type: ignore[attr-defined]
