"""The loss: what smoothing, balance and blending make of it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from calotype.training.objective import Blend, Objective
from calotype.training.plan import Plan

CPU = torch.device("cpu")
LOGITS = torch.tensor([[2.0, 0.0, 1.0], [0.5, 0.1, -1.0]])
TARGETS = torch.tensor([0, 2])


def objective(counts: tuple[int, ...] = (5, 5, 5), **choices: object) -> Objective:
    plan = Plan(**{"optimizer": "sgd", "weight_decay": 0.0, "label_smoothing": 0.0, **choices})  # pyright: ignore[reportArgumentType]
    return Objective(plan, counts, CPU)


def test_it_is_the_sum_of_cross_entropies() -> None:
    expected = -sum(LOGITS.log_softmax(1)[row, target] for row, target in enumerate(TARGETS))
    assert objective()(LOGITS, TARGETS).item() == pytest.approx(float(expected))


def test_equal_logits_cost_the_logarithm_of_the_classes_however_smooth() -> None:
    loss = objective(label_smoothing=0.3)(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0]))
    assert loss.item() == pytest.approx(4 * math.log(3))


def test_balanced_classes_weigh_the_same_together_and_an_image_one_on_average() -> None:
    counts = (90, 9, 1)
    balanced = objective(counts, balance="loss")
    each = [balanced(torch.zeros(1, 3), torch.tensor([index])).item() for index in range(3)]
    shares = [count * loss for count, loss in zip(counts, each, strict=True)]
    assert shares == pytest.approx([shares[0]] * 3)
    assert sum(shares) / 100 == pytest.approx(math.log(3))


def test_a_class_without_images_does_not_spoil_the_balance() -> None:
    balanced = objective((10, 0, 10), balance="loss")
    assert balanced(torch.zeros(2, 3), torch.tensor([0, 2])).item() == pytest.approx(
        2 * math.log(3)
    )


def test_a_blend_is_learnt_as_both_of_its_images() -> None:
    blend = Blend(0.75, torch.tensor([1, 0]))
    parts = [objective()(LOGITS, TARGETS).item(), objective()(LOGITS, TARGETS.flip(0)).item()]
    got = objective()(LOGITS, TARGETS, blend).item()
    assert got == pytest.approx(0.75 * parts[0] + 0.25 * parts[1])
    images = torch.stack([torch.zeros(1), torch.ones(1)])
    assert blend.of(images).flatten().tolist() == pytest.approx([0.25, 0.75])


def test_blends_depend_on_their_seed_alone() -> None:
    first, again, other = (Blend.draw(16, 0.2, seed) for seed in ((1, 2), (1, 2), (1, 3)))
    assert first.share == again.share != other.share
    assert first.partners.equal(again.partners)
    assert sorted(first.partners.tolist()) == list(range(16))


def test_logits_in_bf16_are_summed_in_fp32() -> None:
    loss = objective()(LOGITS.bfloat16(), TARGETS)
    assert loss.dtype == torch.float32
    exact = nn.functional.cross_entropy(LOGITS.bfloat16().float(), TARGETS, reduction="sum")
    assert loss.item() == exact.item()
