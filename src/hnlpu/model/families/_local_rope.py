"""Decoders whose layers with a window turn by a rope of their own."""

from __future__ import annotations

from typing import Any, ClassVar

from hnlpu.errors import InvalidConfig
from hnlpu.model.families._layer_types import LayerTypesConfig
from hnlpu.model.families._rope import AnyRope, one_rope

FULL, SLIDING = "full_attention", "sliding_attention"


class LocalRopeConfig(LayerTypesConfig):
    """A config whose rope parameters are by the type of a layer, or in older keys beside each other."""

    local_key: ClassVar[str | None] = None
    """The older key of the local theta; the local theta is `default_local` where there is none."""
    default_local: ClassVar[float] = 10000.0

    local_rope: AnyRope

    @classmethod
    def normalise(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Both generations of the file have the same fields afterwards."""
        if "local_rope" in values:
            raise InvalidConfig("config.json: local_rope is no key of it; rope_parameters is")
        return super().normalise(values)

    @classmethod
    def ropes(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`rope` of layers that attend to all, `local_rope` of those with a window."""
        theta, older = values.pop("rope_theta", None), values.pop("rope_scaling", None)
        local = values.pop(cls.local_key, None) if cls.local_key else None
        newer = values.pop("rope_parameters", None)
        if newer is not None and (not isinstance(newer, dict) or newer.keys() - {FULL, SLIDING}):
            raise ValueError(f"rope_parameters has other keys than {FULL} and {SLIDING}")
        if older and newer:
            raise ValueError("rope_scaling and rope_parameters are both given; keep one of them")
        if theta is not None and cls.local_key is None and theta != cls.default_local:
            raise ValueError(
                f"rope_theta is for layers without a window, and those with one turn by "
                f"{cls.default_local:g}; say both in rope_parameters"
            )
        given = newer or {}
        full, sliding = given.get(FULL) or older or {}, given.get(SLIDING) or {}
        beside = {"rope_theta": cls.default_local if local is None else local}
        for rope in (full, sliding):
            if isinstance(rope, dict) and rope.get("truncate") is False:
                raise ValueError("truncate is not supported where layers have ropes of their own")
        return {
            "rope": one_rope(full, values, theta, cls.default_rope, cls.rope_kinds),
            "local_rope": one_rope(sliding, values, None, beside, cls.rope_kinds),
        }

    def rope_of(self, layer: int) -> AnyRope | None:
        """How a layer's queries and keys turn."""
        return self.local_rope if self.slides(layer) else self.rope
