"""Ray Serve: the JPEG is the body, a replica for each core, batches of up to eight or none."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

import os
import sys
import threading

import ray
from photograph_model import PhotographModel
from ray import serve
from starlette.requests import Request


@serve.deployment(
    num_replicas=os.cpu_count(), ray_actor_options={"num_cpus": 1}, max_ongoing_requests=100
)
class Photographs:
    def __init__(self):
        self.model = PhotographModel()
        self.is_batching = int(os.environ["BENCHMARK_BATCH"]) > 1

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.01)
    async def score_batch(self, contents: list[bytes]) -> list[dict]:
        return self.model.score([self.model.read(content) for content in contents])

    async def __call__(self, request: Request) -> dict:
        content = await request.body()
        if self.is_batching:
            return await self.score_batch(content)  # pyright: ignore[reportReturnType]
        return self.model.score([self.model.read(content)])[0]


if __name__ == "__main__":
    ray.init(include_dashboard=False, logging_level="warning")
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Photographs.bind(), route_prefix="/score")
    threading.Event().wait()
