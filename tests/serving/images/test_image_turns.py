"""Who is scored when: together what waits together, in turns, and no longer than allowed."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import small_networks
from serving_images import (
    HeldRuntime,
    ask,
    base64_of,
    floats,
    image_request,
    jpeg,
    json_request,
    serving,
    small_model,
    until,
)

from calotype import errors
from calotype.models import image_model
from calotype.models.image_model import ImageModel
from calotype.scoring.runtimes import Batch
from calotype.scoring.scorer import Scorer
from calotype.serving.exchange import Request
from calotype.serving.images.alone import open_alone
from calotype.serving.images.image_service import ImageService
from calotype.serving.refusals import Refusal
from calotype.serving.settings import ServiceSettings

NEVER = 0  # bytes of the largest model that is loaded twice


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ImageModel:
    return small_model(tmp_path_factory.mktemp("model"))


def one_at_a_time(model: ImageModel, **settings: Any) -> Any:
    """Return a service with one runner, which tests hold up to let others wait."""
    return serving(model, threads=1, settings=settings)


def listed(count: int, first: int = 0) -> Request:
    return json_request({"data": [base64_of(jpeg(first + at)) for at in range(count)]})


def later(service: ImageService, request: Request) -> asyncio.Task[Any]:
    return asyncio.create_task(ask(service, request))


async def taken(service: ImageService, held: HeldRuntime) -> asyncio.Task[Any]:
    """Return a request that a runner holds, however often it waited too long for the runner."""
    while True:
        task = later(service, image_request(jpeg(0)))
        await until(lambda task=task: task.done() or held.entered.acquire(blocking=False))
        if not task.done():
            return task
        assert (await refusal_of(task)).status == 503


async def refusal_of(task: asyncio.Task[Any]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await task
    return caught.value


def test_what_waits_together_is_inferred_together(model: ImageModel) -> None:
    async def run() -> None:
        async with one_at_a_time(model) as service:
            held = HeldRuntime(service)
            first = later(service, image_request(jpeg(0)))
            await held.wait_until_entered()
            rest = [later(service, image_request(jpeg(n))) for n in range(1, 11)]
            await until(lambda: service.queue_depth == 10)
            assert service.busy_runners == service.runners == 1
            held.released.set()
            answers = await asyncio.gather(first, *rest)
            assert held.batch_sizes == [1, 2, 2, 2, 2, 2]
            right = service.scorer.predict([jpeg(n) for n in range(11)]).probabilities
            assert np.array([floats(one) for one in answers]).tobytes() == right.tobytes()
            assert service.queue_depth == 0
            await until(lambda: service.busy_runners == 0)

    asyncio.run(run())


def test_nothing_waits_for_company(model: ImageModel) -> None:
    async def run() -> None:
        async with serving(model, largest_model_for_all_cores=NEVER) as service:
            held = HeldRuntime(service)
            first = later(service, image_request(jpeg(0)))
            await held.wait_until_entered()
            second = later(service, image_request(jpeg(1)))
            await held.wait_until_entered()
            assert held.batch_sizes == [1, 1]
            held.released.set()
            await asyncio.gather(first, second)

    asyncio.run(run())


def test_the_images_of_a_request_are_shared_by_the_runners(model: ImageModel) -> None:
    async def run() -> None:
        async with serving(model, largest_model_for_all_cores=NEVER) as service:
            held = HeldRuntime(service)
            few = later(service, listed(2))
            await held.wait_until_entered(2)
            assert held.batch_sizes == [1, 1]
            held.released.set()
            assert len(await few) == 2
            held.batch_sizes.clear()
            assert len(await ask(service, listed(6))) == 6
            assert sum(held.batch_sizes) == 6

    asyncio.run(run())


def test_a_large_request_does_not_hold_up_small_ones(model: ImageModel) -> None:
    async def run() -> None:
        async with one_at_a_time(model) as service:
            held = HeldRuntime(service)
            first = later(service, image_request(jpeg(0)))
            await held.wait_until_entered()
            large = later(service, listed(40))
            small = [later(service, image_request(jpeg(n))) for n in range(3)]
            await until(lambda: service.queue_depth == 4)
            finished: list[asyncio.Task[Any]] = []
            for task in (large, *small):
                task.add_done_callback(finished.append)
            held.released.set()
            await asyncio.gather(first, large, *small)
            await until(lambda: len(finished) == 4)
            assert finished == [*small, large]
            assert len(large.result()) == 40

    asyncio.run(run())


def test_a_model_of_one_image_gets_one_at_a_time(tmp_path: Path) -> None:
    side = small_networks.SIDE
    network = small_networks.save_network(tmp_path / "network", shape=(1, 3, side, side))
    description = small_networks.description(is_batch_dynamic=False)
    model = image_model.save(tmp_path / "model", description, {image_model.ONNX: network})

    async def run() -> None:
        async with one_at_a_time(model) as service:
            assert len(await ask(service, listed(5))) == 5

    asyncio.run(run())


def test_each_of_many_gets_its_own_answer(model: ImageModel) -> None:
    async def run() -> None:
        async with serving(model) as service:
            images = [jpeg(n, (30 + n, 60 - n)) for n in range(32)]
            right = service.scorer.predict(images).probabilities
            answers = await asyncio.gather(
                *(ask(service, image_request(image)) for image in images)
            )
            assert np.array([floats(one) for one in answers]).tobytes() == right.tobytes()

    asyncio.run(run())


def test_only_so_many_wait(model: ImageModel) -> None:
    async def run() -> None:
        async with one_at_a_time(model, max_queued_requests=2) as service:
            held = HeldRuntime(service)
            first = later(service, image_request(jpeg(0)))
            await held.wait_until_entered()
            waiting = [later(service, image_request(jpeg(n))) for n in (1, 2)]
            await until(lambda: service.queue_depth == 2)
            refused = await refusal_of(later(service, image_request(jpeg(3))))
            assert (refused.status, "max_queued_requests" in refused.message) == (503, True)
            assert refused.headers == [(b"retry-after", b"1")]
            held.released.set()
            assert len(await asyncio.gather(first, *waiting)) == 3

    asyncio.run(run())


def test_with_no_queue_an_idle_runner_still_takes_a_request(model: ImageModel) -> None:
    async def run() -> None:
        async with one_at_a_time(model, max_queued_requests=0) as service:
            held = HeldRuntime(service)
            first = later(service, image_request(jpeg(0)))
            await held.wait_until_entered()
            refused = await refusal_of(later(service, image_request(jpeg(1))))
            assert refused.status == 503
            held.released.set()
            assert "Scored Labels" in await first

    asyncio.run(run())


def test_a_request_waits_only_so_long(model: ImageModel) -> None:
    async def run() -> None:
        async with one_at_a_time(model, max_request_wait_ms=30) as service:
            held = HeldRuntime(service)
            first = await taken(service, held)
            refused = await refusal_of(later(service, image_request(jpeg(1))))
            assert (refused.status, "max_request_wait_ms" in refused.message) == (503, True)
            assert service.queue_depth == 0
            held.released.set()
            assert "Scored Labels" in await first

    asyncio.run(run())


def test_scoring_takes_only_so_long(model: ImageModel) -> None:
    async def run() -> None:
        async with one_at_a_time(model, scoring_timeout_ms=100) as service:
            held = HeldRuntime(service)
            refused = await refusal_of(later(service, listed(20)))
            assert (refused.status, "scoring_timeout_ms" in refused.message) == (504, True)
            held.released.set()
            # The runner goes on with others; what was left of the refused one is thrown away.
            asked, answer = 0, None
            async with asyncio.timeout(60):
                while answer is None:
                    asked += 1
                    with suppress(Refusal):  # on a busy machine it may take longer as well
                        answer = await ask(service, image_request(jpeg(1)))
            assert "Scored Labels" in answer
            assert 2 + 1 <= sum(held.batch_sizes) <= 2 + asked

    asyncio.run(run())


def test_who_has_gone_frees_a_place_and_is_not_scored(model: ImageModel) -> None:
    async def run() -> None:
        async with one_at_a_time(model, max_queued_requests=1) as service:
            held = HeldRuntime(service)
            first = later(service, image_request(jpeg(0)))
            await held.wait_until_entered()
            request = image_request(jpeg(1))
            request.connection = SimpleNamespace(disconnected=False)
            leaving = later(service, request)
            await until(lambda: service.queue_depth == 1)
            request.connection.disconnected = True
            assert (await refusal_of(leaving)).status == 499
            last = later(service, image_request(jpeg(2)))
            held.released.set()
            await asyncio.gather(first, last)
            assert held.batch_sizes == [1, 1]

    asyncio.run(run())


def test_a_cancelled_request_frees_its_place(model: ImageModel) -> None:
    async def run() -> None:
        async with one_at_a_time(model) as service:
            held = HeldRuntime(service)
            first = later(service, image_request(jpeg(0)))
            await held.wait_until_entered()
            cancelled = later(service, listed(3))
            await until(lambda: service.queue_depth == 1)
            cancelled.cancel()
            await until(lambda: service.queue_depth == 0)
            held.released.set()
            await first
            assert held.batch_sizes == [1]

    asyncio.run(run())


def test_a_runner_survives_what_it_did_not_expect(
    model: ImageModel, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        async with one_at_a_time(model) as service:
            real = service.scorer.runtime.infer

            def broken(batch: Batch) -> Any:
                raise RuntimeError("secret detail")

            service.scorer.runtime.infer = broken
            for request in (image_request(jpeg(0)), listed(3)):
                refused = await refusal_of(later(service, request))
                assert refused.status == 500
                assert "secret" not in refused.message
            service.scorer.runtime.infer = real
            assert "Scored Labels" in await ask(service, image_request(jpeg(0)))

    with caplog.at_level(logging.ERROR, "calotype.serving"):
        asyncio.run(run())
    assert "secret detail" in caplog.text


def test_numbers_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    weights = np.full((3, 3), np.nan, np.float32)
    network = small_networks.save_network(tmp_path / "network", weights=weights)
    content: dict[str, Path | str] = {image_model.ONNX: network}
    model = image_model.save(tmp_path / "model", small_networks.description(), content)

    async def run() -> None:
        async with serving(model) as service:
            assert (await refusal_of(later(service, image_request(jpeg(0))))).status == 500
            (item,) = await ask(service, listed(1))
            assert item["error"]["status_code"] == 500

    asyncio.run(run())


def test_the_stages_are_timed(model: ImageModel) -> None:
    async def run() -> None:
        async with one_at_a_time(model) as service:
            for request in (image_request(jpeg(0)), listed(3)):
                await ask(service, request)
                assert set(request.timings) == {"decode", "queue", "infer", "encode"}
                assert all(0 < value < 10_000 for value in request.timings.values())

    asyncio.run(run())


def test_a_request_alone_gets_all_cores_and_the_same_bits(imagenet_model: ImageModel) -> None:
    scorer = Scorer(imagenet_model, "fp32", threads=2)
    alone = open_alone(scorer)
    assert alone is not None
    shape = imagenet_model.preprocessing.input_shape(1)
    for seed in range(5):
        batch = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
        assert alone(batch).tobytes() == scorer.infer(batch).tobytes()
    assert open_alone(Scorer(imagenet_model, "fp32", threads=1)) is None
    assert open_alone(scorer, largest_bytes=1000) is None

    async def run() -> None:
        async with serving(imagenet_model) as service:
            held = HeldRuntime(service)  # watches the session that all share
            held.released.set()
            await ask(service, image_request(jpeg(0)))
            assert held.batch_sizes == []
            await ask(service, listed(4))
            assert sum(held.batch_sizes) >= 3

    asyncio.run(run())


def test_a_service_that_cannot_start_has_failed(tmp_path: Path) -> None:
    async def run() -> None:
        service = ImageService(tmp_path, ServiceSettings())
        assert service.state == "starting"
        with pytest.raises(errors.InvalidModel):
            await service.start()
        assert service.state == "failed"

    asyncio.run(run())


def test_states_follow_the_life_of_the_service(model: ImageModel) -> None:
    async def run() -> None:
        async with serving(model) as service:
            assert service.state == "ready"
            assert service.methods == {"POST"}
            assert service.runners == 2
        assert service.state == "stopped"

    asyncio.run(run())
