"""What the tests of the image service share: requests, and a service for as long as a test asks."""

from __future__ import annotations

import asyncio
import base64
import functools
import io
import json
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import small_networks
from numpy.typing import NDArray
from PIL import Image

from calotype.models.image_model import ImageModel
from calotype.scoring.runtimes import Batch
from calotype.serving.exchange import Request
from calotype.serving.images.image_service import ImageService
from calotype.serving.settings import ServiceSettings

BOUNDARY = "----boundary"


def small_model(
    folder: Path, classes: tuple[str, ...] = ("cat", "dog", 'a "quoted" owl %d')
) -> Any:
    return small_networks.save_model(folder / "model", classes)


@functools.cache
def jpeg(number: int = 0, size: tuple[int, int] = (40, 30)) -> bytes:
    """Return a noisy JPEG, another one for each number."""
    random = np.random.default_rng(number)
    noise = random.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    level = random.integers(0, 255, 3)
    pixels = (noise * 0.3 + level * 0.7).astype(np.uint8)
    return encoded(Image.fromarray(pixels), "JPEG", quality=90)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def image_request(body: bytes, kind: str | None = "image/jpeg", query: str = "") -> Request:
    headers = [(b"content-type", kind.encode())] if kind is not None else []
    return Request(headers=headers, body=body, query=query.encode())


def json_request(content: Any, query: str = "", kind: str = "application/json") -> Request:
    return image_request(json.dumps(content).encode(), kind, query)


def form_request(
    *parts: tuple[str, bytes], headers: str = "Content-Type: image/jpeg\r\n"
) -> Request:
    """Return a form; each part is the rest of its Content-Disposition, and its data."""
    body = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {rest}\r\n{headers}\r\n".encode()
        + data
        + b"\r\n"
        for rest, data in parts
    )
    body += f"--{BOUNDARY}--\r\n".encode()
    return image_request(body, f"multipart/form-data; boundary={BOUNDARY}")


@asynccontextmanager
async def serving(
    model: ImageModel | Path,
    *,
    threads: int = 2,
    settings: dict[str, Any] | None = None,
    **more: Any,
) -> AsyncGenerator[ImageService]:
    """Run a service; a request may wait a minute unless `settings` says otherwise."""
    checked = ServiceSettings.of({"max_request_wait_ms": 60_000, **(settings or {})})
    service = ImageService(model, checked, threads=threads, precision="fp32", **more)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


async def ask(service: ImageService, request: Request) -> Any:
    """Return the answer's JSON."""
    answer = await service.score(request)
    assert answer.status == 200
    assert answer.content_type == b"application/json"
    return json.loads(answer.body)


def floats(prediction: dict[str, Any]) -> NDArray[np.float32]:
    """Return the probabilities in the order of the answer."""
    return np.array(list(prediction["Scored Probabilities"].values()), np.float32)


class HeldRuntime:
    """Lets a test watch and hold up the runs of a service's network, which stays the real one."""

    def __init__(self, service: ImageService) -> None:
        self.batch_sizes: list[int] = []
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()
        runtime = service.scorer.runtime
        real: Callable[[Batch], NDArray[np.float32]] = runtime.infer

        def infer(batch: Batch) -> NDArray[np.float32]:
            self.batch_sizes.append(len(batch))
            self.entered.release()
            assert self.released.wait(60)
            return real(batch)

        runtime.infer = infer

    async def wait_until_entered(self, times: int = 1) -> None:
        for _ in range(times):
            assert await asyncio.to_thread(self.entered.acquire, timeout=60)


async def until(condition: Callable[[], bool], *, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.001)
