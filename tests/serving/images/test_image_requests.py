"""Every form in which people send images, and the answer to each."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_images import (
    ask,
    base64_of,
    floats,
    form_request,
    image_request,
    jpeg,
    json_request,
    serving,
    small_model,
)

import photographs
from calotype.models.image_model import ImageModel
from calotype.scoring.scorer import Scorer
from calotype.serving.exchange import Request
from calotype.serving.refusals import Refusal

CLASSES = ("cat", "dog", 'a "quoted" owl %d')


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ImageModel:
    return small_model(tmp_path_factory.mktemp("model"), CLASSES)


def answer(model: ImageModel, request: Request, **settings: Any) -> Any:
    async def run() -> Any:
        async with serving(model, settings=settings) as service:
            return await ask(service, request)

    return asyncio.run(run())


def refusal(model: ImageModel, request: Request, **settings: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        answer(model, request, **settings)
    return caught.value


def expected(model: ImageModel, data: bytes) -> np.ndarray:
    return Scorer(model, "fp32", threads=1).predict(data).probabilities[0]


def assert_is_of(prediction: dict[str, Any], model: ImageModel, data: bytes) -> None:
    assert list(prediction["Scored Probabilities"]) == list(CLASSES)
    assert floats(prediction).tobytes() == expected(model, data).tobytes()
    assert prediction["Scored Labels"] == Scorer(model, "fp32").predict(data).labels[0]


@pytest.mark.parametrize(
    "kind",
    [
        "application/octet-stream",
        "image/jpeg",
        "IMAGE/PNG; q=1",
        "image/heic",
        None,
        "no type",
        "application/x-www-form-urlencoded",
        "text/plain",
    ],
)
def test_the_bytes_of_an_image_give_one_object(model: ImageModel, kind: str | None) -> None:
    assert_is_of(answer(model, image_request(jpeg(), kind)), model, jpeg())


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=UTF-8",
        "application/vnd.x+json",
        "text/json",
        "application/x-www-form-urlencoded",
    ],
)
def test_json_gives_a_list_in_order(model: ImageModel, kind: str) -> None:
    rows: list[Any] = [
        base64_of(jpeg(1)),
        "data:image/jpeg;base64," + base64_of(jpeg(2)),
        {"image": base64_of(jpeg(3)), "id": "three"},
        {"image": "data:image/jpeg;base64," + base64_of(jpeg(4)), "id": 4.5, "category": "cat"},
    ]
    found = answer(model, json_request({"data": rows}, kind=kind))
    for number, prediction in enumerate(found, 1):
        assert_is_of(prediction, model, jpeg(number))
    assert [prediction.get("id") for prediction in found] == [None, None, "three", 4.5]
    assert [set(one) for one in found[:3:2]] == [
        {"Scored Labels", "Scored Probabilities"},
        {"Scored Labels", "Scored Probabilities", "id"},
    ]


def test_the_form_of_the_retired_score_script_is_taken(model: ImageModel) -> None:
    rows = [{"image": base64_of(jpeg(1)), "id": 7, "category": None}]
    (found,) = answer(model, json_request(rows))
    assert_is_of(found, model, jpeg(1))
    assert found["id"] == 7


def test_one_row_without_a_list_gives_one_object(model: ImageModel) -> None:
    row = {"image": base64_of(jpeg(1)), "id": 7}
    for content in ({"data": row}, row):
        found = answer(model, json_request(content))
        assert_is_of(found, model, jpeg(1))
        assert found["id"] == 7
    assert_is_of(answer(model, json_request({"data": row["image"]})), model, jpeg(1))


@pytest.mark.parametrize(
    ("name", "output"),
    [("WebServiceInput0", "WebServiceOutput0"), ("input1", "output1"), ("x", "WebServiceOutput0")],
)
def test_the_designer_gets_its_rows(model: ImageModel, name: str, output: str) -> None:
    rows = [
        {"image": base64_of(jpeg(1)), "id": 1, "category": "cat"},
        {"image": base64_of(jpeg(2)), "id": {"isNan": True}},
        {"image": "?", "id": 3},
    ]
    found = answer(model, json_request({"Inputs": {name: rows}, "GlobalParameters": {}}))
    assert list(found) == ["Results"]
    assert list(found["Results"]) == [output]
    first, second, third = found["Results"][output]
    assert_is_of(first, model, jpeg(1))
    assert_is_of(second, model, jpeg(2))
    columns = [first[f"Scored Probabilities_{name}"] for name in CLASSES]
    assert columns == list(first["Scored Probabilities"].values())
    assert (first["id"], first["category"]) == (1, "cat")
    assert second["id"] is None
    assert (third["id"], third["error"]["status_code"]) == (3, 422)


def test_a_form_gives_a_list_with_the_names_of_the_files(model: ImageModel) -> None:
    request = form_request(
        ('name="a"; filename="cät.jpg"', jpeg(1)),
        ('name="b"; filename="broken.jpg"', jpeg(2)[:400]),
        ('name="c"', jpeg(3)),
    )
    first, second, third = answer(model, request)
    assert_is_of(first, model, jpeg(1))
    assert_is_of(third, model, jpeg(3))
    assert [one["file"] for one in (first, second, third)] == ["cät.jpg", "broken.jpg", "c"]
    assert second["error"]["status_code"] == 422


def test_fields_of_a_form_that_are_no_files_are_ignored(model: ImageModel) -> None:
    request = form_request(('name="id"', b"12"), headers="")
    assert refusal(model, request).status == 400
    request.body = form_request(('name="f"; filename="x"', jpeg(1)), headers="").body
    (found,) = answer(model, request)
    assert_is_of(found, model, jpeg(1))


def test_base64_may_have_line_breaks(model: ImageModel) -> None:
    text = base64_of(jpeg(1))
    broken = "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))
    (found,) = answer(model, json_request({"data": [broken]}))
    assert_is_of(found, model, jpeg(1))


def test_a_byte_order_mark_does_no_harm(model: ImageModel) -> None:
    body = b"\xef\xbb\xbf" + json.dumps({"data": [base64_of(jpeg(1))]}).encode()
    (found,) = answer(model, image_request(body, "application/json"))
    assert_is_of(found, model, jpeg(1))


def test_images_of_several_sizes_come_together(model: ImageModel) -> None:
    images = [jpeg(number, (30 + 50 * number, 200 - 40 * number)) for number in range(4)]
    found = answer(model, json_request({"data": [base64_of(image) for image in images]}))
    for image, prediction in zip(images, found, strict=True):
        assert_is_of(prediction, model, image)


def test_a_large_body_is_read_by_a_runner(model: ImageModel) -> None:
    images = [jpeg(number, (300, 200)) for number in range(12)]
    request = json_request({"data": [base64_of(image) for image in images]})
    assert len(request.body) > 200_000
    for image, prediction in zip(images, answer(model, request), strict=True):
        assert_is_of(prediction, model, image)
    broken = image_request(request.body[:-2], "application/json")
    assert refusal(model, broken).status == 400
    nothing = image_request(b" " * 100_000 + b'{"data": []}', "application/json")
    assert answer(model, nothing) == []


def test_nothing_gives_nothing(model: ImageModel) -> None:
    assert answer(model, json_request({"data": []})) == []


def test_top_names_the_most_probable_classes_first(model: ImageModel) -> None:
    whole = answer(model, image_request(jpeg()))["Scored Probabilities"]
    ordered = sorted(whole.items(), key=lambda pair: -pair[1])
    for count in (1, 2, 3, 99):
        found = answer(model, image_request(jpeg(), query=f"top={count}"))
        assert list(found["Scored Probabilities"].items()) == ordered[:count]


@pytest.mark.parametrize("query", ["top=0", "top=x", "top=", "top=-1", "top=1.5", "top=%D9%A3"])
def test_a_senseless_top_is_refused(model: ImageModel, query: str) -> None:
    refused = refusal(model, image_request(jpeg(), query=query))
    assert refused.status == 400
    assert "'top'" in refused.message


def test_explain_adds_a_heat_map(model: ImageModel) -> None:
    found = answer(model, json_request({"data": [base64_of(jpeg(1)), "?"]}, query="explain=true"))
    assert found[0]["Explanation"].startswith("data:image/png;base64,iVBOR")
    assert_is_of(found[0], model, jpeg(1))
    assert "error" in found[1]
    assert "Explanation" not in answer(model, image_request(jpeg(), query="explain=false"))
    assert refusal(model, image_request(jpeg(), query="explain=perhaps")).status == 400


def test_the_imagenet_model_gives_the_scorers_bits_in_every_form(
    imagenet_model: ImageModel, tmp_path: Path
) -> None:
    images = [path.read_bytes() for path in photographs.write(tmp_path, count=3, size=(500, 375))]
    right = Scorer(imagenet_model, "fp32").predict(images).probabilities
    rows = [{"image": base64_of(image)} for image in images]

    async def run() -> None:
        async with serving(imagenet_model) as service:
            single = [await ask(service, image_request(image)) for image in images]
            together = await asyncio.gather(
                *(ask(service, image_request(image)) for image in images)
            )
            listed = await ask(service, json_request({"data": rows}))
            designer = await ask(service, json_request({"Inputs": {"input1": rows}}))
            files = [(f'name="f"; filename="{n}"', image) for n, image in enumerate(images)]
            form = await ask(service, form_request(*files))
            for form_of_request in (single, together, listed, designer["Results"]["output1"], form):
                assert np.array([floats(one) for one in form_of_request]).tobytes() == (
                    right.tobytes()
                )

    asyncio.run(run())


def test_a_service_loads_nothing_that_it_does_not_need() -> None:
    heavy = "{'pyarrow', 'pandas', 'torch', 'sklearn', 'scipy'}"
    code = f"import sys, calotype.serving.images.image_service; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_contract_has_an_example_that_works(imagenet_model: ImageModel) -> None:
    async def run() -> None:
        async with serving(imagenet_model) as service:
            contract = service.contract
            (found,) = await ask(service, json_request(contract.input["example"]))
            (shown,) = contract.output["example"]
            assert found["Scored Labels"] == shown["Scored Labels"]
            assert shown["Scored Probabilities"].items() <= found["Scored Probabilities"].items()
            assert found["id"] == shown["id"]
            assert set(found) <= set(contract.output["items"]["properties"])

    asyncio.run(run())
