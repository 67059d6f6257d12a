"""A diabetes service on loopback: the published model behind its own documents."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson
import uvicorn
from described_services import gives, takes
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

from calotype.serving.openapi.builders import BaseAddress
from calotype.serving.openapi.contract import ServiceContract
from calotype.serving.openapi.documents import Documents
from calotype.serving.openapi.script_contract import contract_of

KEY = "a key for the test"


@takes("data", NumpyParameterType(np.zeros((1, 10))))
@gives(NumpyParameterType(np.zeros(1)))
def run_floats(data: Any) -> Any:
    """Declare the samples of a diabetes script."""
    return data


def diabetes_model() -> Any:
    """Return the model whose two predictions are published."""
    features, target = load_diabetes(return_X_y=True)
    train, _, train_target, _ = train_test_split(features, target, test_size=0.2, random_state=0)
    return Ridge(alpha=0.4).fit(train, train_target)


@contextmanager
def serve(score: Callable[[Any], Any]) -> Generator[str]:
    """Serve a function of the parsed body; give the address without a path."""
    contract = ServiceContract.from_dict(contract_of(run_floats) or {})
    base = BaseAddress("http", "127.0.0.1")
    documents = Documents(contract, name="diabetes", base=base, auth="key")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        status, content_type, body = 200, b"application/json", b""
        if scope["path"] == "/swagger.json":
            body = documents.document("2", documents.base_of("http", headers[b"host"]))
        elif scope["path"] == "/":
            content_type, body = b"text/plain; charset=utf-8", b"Healthy"
        elif headers.get(b"authorization") != f"Bearer {KEY}".encode():
            status, body = 401, b'{"status_code": 401, "message": "expected a key"}'
        else:
            body = orjson.dumps(score(orjson.loads((await receive())["body"])))
        start = {"type": "http.response.start", "status": status}
        await send({**start, "headers": [(b"content-type", content_type)]})
        await send({"type": "http.response.body", "body": body})

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    listening = server.config.bind_socket()
    listening.listen()
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
