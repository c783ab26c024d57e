"""A short training that brings back what other steps lost: the pruned model learns to say what the whole one says.

Loss: the Kullback-Leibler divergence from the teacher's next-token distributions and, by the share `hard`, the text's own
next tokens.  Matrices that one digit holds are held by one digit all the while, so that nothing grows again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from hnlpu.errors import InvalidInput, ToolMissing
from hnlpu.insight.compress._options import Decision, StepOptions
from hnlpu.insight.compress._subject import Float32, Subject, holds_in_one_digit
from hnlpu.model.checkpoint import read_model
from hnlpu.model.edit import Edit, edited, keep_all
from hnlpu.model.network import ops

if TYPE_CHECKING:
    import torch

    from hnlpu.run.differentiable import TorchNetwork

KEPT_EVERY = 25
"""Steps after which what was learnt is kept, for a run that is killed."""
WARM = 0.05
"""Share of the steps in which the learning rate rises."""


class Heal(StepOptions):
    """`steps` of AdamW on `batch` pieces of the text of `length` tokens each."""

    name: Literal["heal"] = "heal"
    steps: int = Field(200, ge=1)
    batch: int = Field(8, ge=1)
    length: int = Field(128, ge=2)
    rate: float = Field(5e-4, gt=0, le=1)
    hard: float = Field(0.0, ge=0, le=1)
    seed: int = Field(0, ge=0)

    def check(self, subject: Subject) -> None:
        """Needs torch, and a family whose only states are those of attention."""
        if find_spec("torch") is None:
            raise ToolMissing("heal learns with torch, which is missing; pip install 'hnlpu[heal]'")
        edited(subject.family, subject.values, Edit(keep_all(subject.layers)))
        self._length(subject)
        inside = {
            n
            for span in subject.model.network.spans
            if span.composite == "attend"
            for n in range(span.start, span.stop)
        }
        for n, step in enumerate(subject.model.network.steps):
            if isinstance(step.op, ops.Read | ops.Write) and n not in inside:
                raise InvalidInput(
                    f"heal: the state {step.op.state} of this family cannot be learnt through"
                )

    def decide(self, subject: Subject) -> Decision:
        """Weights, biases and parameters as they are after learning."""
        import torch

        from hnlpu.run.differentiable import TorchNetwork

        model = subject.model
        length = self._length(subject)
        one_digit = {m.name for m in model.network.matrices if holds_in_one_digit(subject, m)}
        student = TorchNetwork(model, one_digit)
        teacher = TorchNetwork(read_model(subject.teacher, subject.family))
        first, last = self._learn(
            subject, student, teacher, torch.tensor(subject.all_tokens), length
        )
        values: dict[str, Callable[[int], Float32]] = {}
        vectors: dict[str, Callable[[], Float32]] = {}
        matrices = {m.name for m in model.network.matrices}
        for name in student.learnt():
            if name in matrices:
                values[name] = partial(student.values, name)
            else:
                vectors[name] = partial(student.parameter_values, name)
        line = f"loss {first:.4g} nats at first, {last:.4g} at the end of {self.steps} steps on {self.batch} pieces of {length} tokens"
        return Decision(Edit(keep_all(subject.layers), values, vectors), [line])

    def _length(self, subject: Subject) -> int:
        """Tokens of a piece: no more than the model can see."""
        length = min(self.length, subject.model.network.context or self.length)
        if len(subject.all_tokens) <= length:
            raise InvalidInput(
                f"heal: the text has {len(subject.all_tokens)} tokens, a piece takes {length + 1}; "
                "give more text or a smaller length"
            )
        return length

    def _learn(
        self, subject: Subject, student: TorchNetwork, teacher: TorchNetwork, tokens: torch.Tensor,
        length: int,
    ) -> tuple[float, float]:  # fmt: skip
        """Mean losses of the first and the last tenth of the steps."""
        import torch

        parameters = list(dict.fromkeys(student.learnt().values()))
        learner = torch.optim.AdamW(parameters, lr=self.rate, betas=(0.9, 0.95), weight_decay=0.0)
        kept = subject.notes.with_suffix(".learnt.pt")
        losses: list[float] = []
        if kept.exists():
            found: dict[str, Any] = torch.load(kept, weights_only=True)
            student.load_state_dict(found["student"])
            learner.load_state_dict(found["learner"])
            losses = found["losses"]
        for step in range(len(losses), self.steps):
            subject.progress("heal: learning", step, self.steps)
            random = np.random.default_rng((self.seed, step))
            starts = random.integers(0, len(tokens) - length, self.batch)
            pieces = torch.stack([tokens[s : s + length + 1] for s in starts.tolist()])
            loss = self._loss(student, teacher, pieces)
            for group in learner.param_groups:
                group["lr"] = self.rate * _share(step, self.steps)
            learner.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            learner.step()
            losses.append(float(loss.detach()))
            if (step + 1) % KEPT_EVERY == 0 and step + 1 < self.steps:
                part = kept.with_suffix(".part")
                torch.save(
                    {"student": student.state_dict(), "learner": learner.state_dict(), "losses": losses},
                    part,
                )  # fmt: skip
                part.replace(kept)
        tenth = max(1, self.steps // 10)
        subject.notes.write_text(json.dumps(losses))
        return float(np.mean(losses[:tenth])), float(np.mean(losses[-tenth:]))

    def _loss(
        self, student: TorchNetwork, teacher: TorchNetwork, pieces: torch.Tensor
    ) -> torch.Tensor:
        import torch
        from torch.nn import functional

        with torch.no_grad():
            told = torch.log_softmax(teacher(pieces[:, :-1]), -1)
        said = torch.log_softmax(student(pieces[:, :-1]), -1)
        soft = (told.exp() * (told - said)).sum(-1).mean()
        hard = functional.nll_loss(said.flatten(0, 1), pieces[:, 1:].flatten())
        return (1 - self.hard) * soft + self.hard * hard


def _share(step: int, steps: int) -> float:
    """Of the learning rate: up in a line, then down half a cosine."""
    warm = max(1, round(WARM * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
