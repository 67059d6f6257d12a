"""What the image service says no to: status and sentence for each."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from PIL import Image
from serving_images import (
    ask,
    base64_of,
    encoded,
    form_request,
    image_request,
    jpeg,
    json_request,
    serving,
    small_model,
)

from calotype.models.image_model import ImageModel
from calotype.serving.exchange import Request
from calotype.serving.refusals import Refusal

GIF = encoded(Image.new("P", (4, 4)), "GIF")
ISO = b"\x00\x00\x00\x18ftyp%b\x00\x00\x00\x00"
OF_OTHER_FORMATS = {
    "GIF": GIF,
    "HEIC": ISO % b"heic",
    "HEIF": ISO % b"mif1",
    "AVIF": ISO % b"avif",
    "MP4 video": ISO % b"isom",
    "PDF": b"%PDF-1.7\n",
    "SVG": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "JPEG XL": b"\xff\x0a\x00\x00",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ImageModel:
    return small_model(tmp_path_factory.mktemp("model"))


def answers(model: ImageModel, *requests: Request, **settings: Any) -> list[Any]:
    """Return the JSON of each answer, or its refusal."""

    async def attempt(service: Any, request: Request) -> Any:
        try:
            return await ask(service, request)
        except Refusal as refusal:
            return refusal

    async def run() -> list[Any]:
        async with serving(model, settings=settings) as service:
            return [await attempt(service, request) for request in requests]

    return asyncio.run(run())


def test_other_formats_are_named_with_what_to_do(model: ImageModel) -> None:
    singles = answers(model, *(image_request(data) for data in OF_OTHER_FORMATS.values()))
    for name, refusal in zip(OF_OTHER_FORMATS, singles, strict=True):
        assert (refusal.status, name in refusal.message) == (415, True), name
        assert "convert it to JPEG or PNG" in refusal.message
    texts = [base64_of(data) for data in OF_OTHER_FORMATS.values()]
    (listed,) = answers(model, json_request({"data": texts}))
    for name, item in zip(OF_OTHER_FORMATS, listed, strict=True):
        assert item["error"]["status_code"] == 422
        assert name in item["error"]["message"]


def test_the_content_type_names_a_format_that_the_content_does_not_tell(model: ImageModel) -> None:
    (refusal,) = answers(model, image_request(b"\x01\x02\x03", "image/heic"))
    assert (refusal.status, "HEIC" in refusal.message) == (415, True)


@pytest.mark.parametrize("data", [jpeg()[:500], b"not an image", b"\x89PNG\r\n\x1a\n" + b"x" * 99])
def test_a_damaged_image_is_422(model: ImageModel, data: bytes) -> None:
    single, listed = answers(
        model, image_request(data), json_request({"data": [base64_of(data), base64_of(jpeg())]})
    )
    assert single.status == 422
    assert "readable image" in single.message
    assert "0x" not in single.message
    assert listed[0]["error"] == {"status_code": 422, "message": single.message}
    assert "Scored Labels" in listed[1]


@pytest.mark.parametrize(
    "row",
    [
        "not base64!",
        "YWJj=",
        "",
        "data:image/png,abc",
        "data:;base64,",
        "café",
        None,
        5,
        [1],
        {},
        {"image": None},
        {"image": 5},
        {"Image": "x"},
    ],
)
def test_a_bad_row_leaves_the_others_alone(model: ImageModel, row: Any) -> None:
    good = {"image": base64_of(jpeg()), "id": "good"}
    ((first, second),) = answers(model, json_request({"data": [row, good]}))
    assert first["error"]["status_code"] == 422
    assert first["error"]["message"].startswith("Expected")
    assert second["id"] == "good"
    assert "Scored Labels" in second


def test_an_error_has_the_id_that_was_sent(model: ImageModel) -> None:
    rows = [{"image": "?", "id": 1}, {"id": True}, {"image": "?", "id": [1]}, {"id": {"a": 1}}]
    (found,) = answers(model, json_request({"data": rows}))
    assert [one.get("id", "none") for one in found] == [1, True, "none", "none"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"{", "could not be decoded as JSON"),
        (b'{"data": [NaN]}', "could not be decoded as JSON"),
        ('{"data": ["\u00e9"]}'.encode("latin-1"), "UTF-8"),
        ('{"data": []}'.encode("utf-16"), "UTF-8"),
        (b"5", '{"data"'),
        (b"null", '{"data"'),
        (b'"YWJj"', '{"data"'),
        (b"{}", '{"data"'),
        (b'{"data": 5}', '{"data"'),
        (b'{"Inputs": []}', '{"data"'),
        (b'{"Inputs": {"a": [], "b": []}}', '{"data"'),
        (b'{"Inputs": {"a": {"image": "x"}}}', '{"data"'),
    ],
)
def test_other_json_is_400(model: ImageModel, body: bytes, said: str) -> None:
    (refusal,) = answers(model, image_request(body, "application/json"))
    assert refusal.status == 400
    assert said in refusal.message


def test_json_may_be_nested_only_so_deep(model: ImageModel) -> None:
    def nested(depth: int) -> Request:
        inner = "[" * (depth - 3) + "]" * (depth - 3)
        return image_request(b'{"data": [{"id": %b}]}' % inner.encode(), "application/json")

    text = json.dumps({"data": ["[[[[[[[[[" * 20, '\\"[[[[[[[[[[[' * 20]})
    within, beyond, in_text = answers(
        model, nested(10), nested(11), image_request(text.encode(), "application/json"),
        max_json_depth=10,
    )  # fmt: skip
    assert within[0]["error"]["status_code"] == 422
    assert (beyond.status, "max_json_depth" in beyond.message) == (400, True)
    assert [one["error"]["status_code"] for one in in_text] == [422, 422]


def test_no_more_items_than_allowed(model: ImageModel) -> None:
    text = base64_of(jpeg())
    files = [(f'name="f"; filename="{n}"', jpeg()) for n in range(4)]
    within, beyond, form = answers(
        model,
        json_request({"data": [text] * 3}),
        json_request({"data": [text] * 4}),
        form_request(*files),
        max_items=3,
    )
    assert len(within) == 3
    assert (beyond.status, "max_items" in beyond.message) == (413, True)
    assert (form.status, "max_items" in form.message) == (413, True)


def test_json_with_a_million_values_is_not_parsed(model: ImageModel) -> None:
    for values in (b"[]," * 100_000 + b"[]", b"1," * 100_000 + b"1"):
        (refusal,) = answers(model, image_request(b'{"x": [%b]}' % values, "application/json"))
        assert (refusal.status, "max_items" in refusal.message) == (413, True)


def test_no_more_parts_than_allowed(model: ImageModel) -> None:
    files = [(f'name="f"; filename="{n}"', jpeg()) for n in range(4)]
    within, beyond = answers(
        model, form_request(*files[:3]), form_request(*files), max_multipart_parts=3
    )
    assert len(within) == 3
    assert (beyond.status, "max_multipart_parts" in beyond.message) == (413, True)


def test_a_form_must_be_whole(model: ImageModel) -> None:
    whole = form_request(('name="f"; filename="x"', jpeg()))
    (_, kind), body = whole.headers[0], whole.body
    for request in (
        image_request(body, "multipart/form-data"),
        image_request(body[:-20], kind.decode()),
        image_request(b"no form", kind.decode()),
    ):
        (refusal,) = answers(model, request)
        assert (refusal.status, "multipart" in refusal.message) == (400, True)


def test_an_image_may_have_only_so_many_bytes(model: ImageModel) -> None:
    large, small = jpeg(1, (200, 200)), jpeg(1)
    limit = len(large) - 1
    single, listed = answers(
        model,
        image_request(large),
        json_request({"data": [base64_of(large), base64_of(small)]}),
        max_image_bytes=limit,
    )
    assert (single.status, "max_image_bytes" in single.message) == (413, True)
    assert listed[0]["error"] == {"status_code": 413, "message": single.message}
    assert "Scored Labels" in listed[1]


def test_an_image_may_have_only_so_many_pixels(model: ImageModel) -> None:
    bomb = encoded(Image.new("1", (5000, 5000)), "PNG")
    single, listed = answers(
        model, image_request(bomb), json_request({"data": [base64_of(bomb)]}),
        max_image_pixels=24_999_999,
    )  # fmt: skip
    assert (single.status, "max_image_pixels" in single.message) == (413, True)
    assert listed[0]["error"]["status_code"] == 413


def test_content_types_that_say_something_else_are_415(model: ImageModel) -> None:
    for kind in ("text/html", "application/xml", None):
        (refusal,) = answers(model, image_request(b"hello", kind))
        assert (refusal.status, "application/octet-stream" in refusal.message) == (415, True)


def test_compressed_bodies_are_415(model: ImageModel) -> None:
    request = image_request(jpeg())
    request.headers = [*request.headers, (b"content-encoding", b"gzip")]
    (refusal,) = answers(model, request)
    assert (refusal.status, "content encoding" in refusal.message) == (415, True)
