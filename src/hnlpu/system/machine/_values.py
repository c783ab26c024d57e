"""Values while a network is walked: where each lies, and what brings those together that meet."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hnlpu.model.network import Step
from hnlpu.system.catalog import NetworkShape
from hnlpu.system.machine._elements import elements, size_of
from hnlpu.system.machine._journal import Journal
from hnlpu.system.machine._places import COSTLESS, SHARES, ExchangeGroup, ValuePlace, costless


class Values:
    """Places of the values of a network, and the journal that exchanges are written to."""

    def __init__(self, model: NetworkShape, rows: int):
        self.types = model.types
        self.journal = Journal(rows)
        self.places = {p.name: costless(math.prod(p.shape)) for p in model.network.parameters}

    def size(self, name: str) -> int:
        return size_of(self.types[name].shape)

    def make(
        self, outs: Sequence[str], group: ExchangeGroup, like: ValuePlace | None = None
    ) -> None:
        """Values that lie as a group does, shared out as `like` is."""
        for name in outs:
            size = self.size(name)
            self.places[name] = ValuePlace(size, like.part_of(size) if like else size, group)

    def whole(self, outs: Sequence[str]) -> None:
        """Values that every chip has when the vector work that goes on is done."""
        self.make(outs, ExchangeGroup("whole", self.journal.behind))

    def args(self, step: Step) -> list[str]:
        return [arg for arg in step.args if isinstance(arg, str)]

    def meet(self, names: Sequence[str], size: int) -> ValuePlace:
        """How operands lie when something of `size` numbers is made of them, number by number."""
        places = [self.places[name] for name in names]
        for place in places:
            self.journal.settle(place)
        shared = [place for place in places if place.how in SHARES]
        others = [place for place in places if place.how in ("whole", "free")]
        first = max(shared, key=lambda place: place.size, default=None)
        alike = first is not None and all(
            (place.how, place.part_of(first.size)) == (first.how, first.share) for place in shared
        )
        if first is not None and alike and all(place.size < size for place in others):
            return first
        for place in shared:
            self.journal.gather(place)
        met = [place for place in places if place.how == "whole"]
        return met[0] if met else costless(size, places)

    def gather(self, names: Sequence[str]) -> None:
        for name in names:
            self.journal.gather(self.places[name])

    def local(
        self, args: Sequence[str], outs: Sequence[str], each: int = 1, *, rows: bool = False
    ) -> None:
        """What goes number by number, or by `rows` of the last axis, where its operands are."""
        size = sum(self.size(name) for name in outs)
        if rows:
            for name in args:
                if self.places[name].how == "spread":
                    self.journal.gather(self.places[name])
        like = self.meet(args, size)
        if like.how in COSTLESS:
            self.make(outs, like.group)
        elif like.how == "whole":
            self.journal.work(each * size)
            self.whole(outs)
        else:
            self.journal.work(each * like.part_of(size))
            share = sum(like.part_of(self.size(name)) for name in outs)
            self.make(outs, ExchangeGroup(like.how, self.journal.behind, share), like)

    def inner(self, name: str, axis: int) -> bool:
        """Whether pieces along an axis of a value lie as the value does."""
        place, rank = self.places[name], len(self.types[name].shape)
        self.journal.settle(place)
        return place.how in ("heads", "members") and rank > 1 and axis % rank == rank - 1

    def everywhere(self, step: Step, args: Sequence[str]) -> None:
        """What is done on every chip, with all of its operands."""
        count = elements(step, self.types)
        places = [self.places[name] for name in args]
        if all(place.how in COSTLESS for place in places):
            self.make(step.outs, costless(0, places).group)
            return
        self.gather(args)
        self.journal.work(count)
        made = max(self.places[name].group.made for name in args)
        self.make(step.outs, ExchangeGroup("whole", self.journal.behind if count else made))
