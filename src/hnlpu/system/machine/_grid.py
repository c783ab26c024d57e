"""The matrices of a network on a grid of chips -> neurons of each on the chip that has most of them."""

from __future__ import annotations

from hnlpu.errors import DoesNotFit
from hnlpu.model.checkpoint import shapes_of
from hnlpu.silicon.place import cut, grid_limits, head_groups
from hnlpu.system.catalog import NetworkShape


def fullest(model: NetworkShape, rows: int, columns: int) -> dict[str, int]:
    """By matrix, as `hnlpu.silicon.place` cuts it; of one member where a matrix has several.

    Raises DoesNotFit for a grid that leaves chips without a part of what is cut by heads.
    """
    shapes = shapes_of(model.network)
    groups, limits = head_groups(shapes), grid_limits(shapes)
    if groups and (rows > limits.rows or columns > limits.columns):
        raise DoesNotFit(
            f"{rows} x {columns} chips leave some of them without a part of {model.name}: at most "
            f"{limits.columns} columns (runs of heads) of {limits.rows} chips; use a smaller grid"
        )
    found: dict[str, int] = {}
    alike: dict[object, int] = {}
    for shape in shapes:
        key = (
            shape.count,
            shape.rows,
            shape.columns,
            shape.cut.how,
            groups.get(shape.cut.together),
        )
        if key not in alike:
            slices = cut(shape, groups, (rows, columns))
            alike[key] = max(part.neurons[1] - part.neurons[0] for part in slices)
        found[shape.name] = alike[key]
    return found
