"""The model folder: what is saved is what is loaded, and nothing else is believed."""

from __future__ import annotations

import json
import pickle
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_networks import description, matrix, save_model, save_network

from calotype import errors
from calotype.models import image_model
from calotype.models.image_model import ImageModel, check_target, read_classes, save
from calotype.scoring.scorer import Scorer, softmax

HARD_NAMES = ("01", "1", "NA", "null", "true", "é漢字", " x ", 'a"b', "a/b", "None", "nan")


def document(folder: Path) -> dict[str, object]:
    return json.loads((folder / "model.json").read_text(encoding="utf-8"))


def write_document(folder: Path, **changes: object) -> None:
    changed = {**document(folder), **changes}
    (folder / "model.json").write_text(json.dumps(changed), encoding="utf-8")


def number_of(call: Callable[[], object]) -> int:
    with pytest.raises(errors.CalotypeError) as caught:
        call()
    return caught.value.number


class TestSaveAndLoad:
    def test_a_model_is_loaded_as_it_was_saved(self, tmp_path: Path) -> None:
        saved = save_model(tmp_path / "model")
        loaded = ImageModel.load(tmp_path / "model")
        assert loaded.description == saved.description
        assert loaded.digest == saved.digest
        assert set(loaded.description.files) == {"model.onnx", "weights.safetensors", "score.py"}
        assert loaded.description.created
        loaded.verify()

    def test_it_scores_what_its_network_computes(self, tmp_path: Path) -> None:
        model = save_model(tmp_path / "model")
        black = np.zeros((20, 30, 3), np.uint8)
        preprocessing = model.preprocessing
        means = -np.array(preprocessing.mean) / np.array(preprocessing.std)
        expected = softmax((means @ matrix(3))[None].astype(np.float32))
        assert Scorer(model).predict(black).probabilities == pytest.approx(expected, abs=1e-6)

    def test_names_of_classes_keep_their_spelling(self, tmp_path: Path) -> None:
        model = save_model(tmp_path / "model", HARD_NAMES)
        assert ImageModel.load(model.path).classes == HARD_NAMES
        scores = Scorer(model).predict(np.zeros((8, 8, 3), np.uint8))
        assert scores.labels[0] in HARD_NAMES

    def test_a_model_without_classes_or_with_equal_ones_cannot_be_described(self) -> None:
        for classes in ((), ("cat", "cat")):
            with pytest.raises(ValueError, match=r"classes|differ"):
                description(classes)

    def test_the_onnx_file_beside_its_description_stands_for_the_model(
        self, tmp_path: Path
    ) -> None:
        model = save_model(tmp_path / "model")
        assert ImageModel.load(model.path / "model.onnx").digest == model.digest

    def test_another_onnx_file_beside_a_description_does_not(self, tmp_path: Path) -> None:
        model = save_model(tmp_path / "model")
        other = save_network(model.path / "other.onnx")
        with pytest.raises(errors.InvalidModel, match="weights that belong to no"):
            ImageModel.load(other)

    def test_a_folder_may_have_the_name_of_a_weights_file(self, tmp_path: Path) -> None:
        for name in ("a.onnx", "a.calotype", "a.pt"):
            assert ImageModel.load(save_model(tmp_path / name).path).classes

    def test_saving_again_replaces_all_of_the_old_model(self, tmp_path: Path) -> None:
        first = save_model(tmp_path / "model")
        first.with_file(image_model.INT8_ONNX, first.path / "model.onnx")
        (first.path / "__pycache__").mkdir()
        save_model(tmp_path / "model", ("only", "two"))
        assert {path.name for path in (tmp_path / "model").iterdir()} == {
            "model.json",
            "model.onnx",
            "weights.safetensors",
            "score.py",
        }
        assert ImageModel.load(tmp_path / "model").classes == ("only", "two")

    def test_a_file_can_be_added(self, tmp_path: Path) -> None:
        model = save_model(tmp_path / "model")
        added = model.with_file(image_model.INT8_ONNX, model.path / "model.onnx", created="now")
        assert added.has(image_model.INT8_ONNX)
        assert added.description.created == "now"
        ImageModel.load(model.path).verify()

    def test_a_failed_save_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(errors.CannotWrite):
            save(tmp_path / "model", description(), {"model.onnx": tmp_path / "is not there"})
        assert list(tmp_path.iterdir()) == []

    def test_many_read_while_one_saves(self, tmp_path: Path) -> None:
        """A reader sees a whole model or, for an instant, none; never a mixture."""
        folder = tmp_path / "model"
        save_model(folder)
        stop = threading.Event()
        seen: list[BaseException | None] = []

        def read() -> None:
            while not stop.is_set():
                try:
                    ImageModel.load(folder)
                    seen.append(None)
                except errors.InvalidModel:
                    pass
                except BaseException as error:  # noqa: BLE001 - told to the test
                    seen.append(error)

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for count in range(2, 22):
            save_model(folder, [str(index) for index in range(count)])
        stop.set()
        for reader in readers:
            reader.join()
        assert seen
        assert not [error for error in seen if error is not None]


class TestDamage:
    @pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors", "score.py"])
    def test_one_changed_byte_is_noticed(self, tmp_path: Path, name: str) -> None:
        model = save_model(tmp_path / "model")
        path = model.path / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(errors.CorruptModel) as caught:
            ImageModel.load(model.path).verify()
        assert caught.value.number == 82
        assert caught.value.where == str(path)

    @pytest.mark.parametrize("name", ["model.onnx", "weights.safetensors"])
    def test_a_missing_file_is_named(self, tmp_path: Path, name: str) -> None:
        model = save_model(tmp_path / "model")
        (model.path / name).unlink()
        with pytest.raises(errors.CorruptModel, match=name):
            ImageModel.load(model.path).verify()

    def test_scoring_checks_the_network(self, tmp_path: Path) -> None:
        model = save_model(tmp_path / "model")
        save_network(model.path / "model.onnx", classes=4)
        assert number_of(lambda: Scorer(model.path)) == 82

    @pytest.mark.parametrize(
        "changes",
        [
            {"extra": 1},
            {"classes": []},
            {"classes": ["a", "a", "b"]},
            {"classes": [1, 2, 3]},
            {"input_size": [9, 9]},
            {"preprocessing": {"resize": 0}},
            {"preprocessing": {"mean": [0, 0]}},
            {"task": "segmentation"},
            {"files": {"../weights": "0"}},
            {"files": {"/etc/passwd": "0"}},
            {"files": {"..": "0"}},
        ],
    )
    def test_a_description_that_breaks_its_format_is_refused(
        self, tmp_path: Path, changes: dict[str, object]
    ) -> None:
        model = save_model(tmp_path / "model")
        write_document(model.path, **changes)
        with pytest.raises(errors.CorruptModel, match=r"model\.json") as caught:
            ImageModel.load(model.path)
        assert next(iter(changes)) in caught.value.got or "Value error" in caught.value.got

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", '{"architecture": 1}'])
    def test_a_description_that_is_none_is_refused(self, tmp_path: Path, text: str) -> None:
        model = save_model(tmp_path / "model")
        (model.path / "model.json").write_text(text)
        assert number_of(lambda: ImageModel.load(model.path)) == 82

    def test_a_later_format_asks_for_a_later_version(self, tmp_path: Path) -> None:
        model = save_model(tmp_path / "model")
        write_document(model.path, format_version=2, something_new=True)
        with pytest.raises(errors.CorruptModel, match=r"Got 2\. Use the version of Calotype"):
            ImageModel.load(model.path)


class TestNothingIsExecuted:
    def test_a_script_and_a_pickle_stay_data(self, tmp_path: Path) -> None:
        class Attack:
            def __reduce__(self) -> tuple[object, tuple[Path, str]]:
                return Path.write_text, (marker, "executed")

        marker = tmp_path / "marker"
        bomb = tmp_path / "bomb"
        bomb.write_bytes(pickle.dumps(Attack()))
        model = save(
            tmp_path / "model",
            description(),
            {
                "model.onnx": save_network(tmp_path / "network"),
                "score.py": f"open({str(marker)!r}, 'w').write('executed')",
                "weights.safetensors": bomb,
                "conftest.py": f"open({str(marker)!r}, 'w').write('executed')",
            },
        )
        loaded = ImageModel.load(model.path)
        loaded.verify()
        Scorer(loaded).predict(np.zeros((8, 8, 3), np.uint8))
        assert not marker.exists()
        pickle.loads(bomb.read_bytes())  # noqa: S301 - the attack works where it is given a chance
        assert marker.exists()

    def test_a_pickle_in_place_of_the_network_is_refused(self, tmp_path: Path) -> None:
        bomb = tmp_path / "bomb"
        bomb.write_bytes(pickle.dumps({"classes": 3}))
        model = save(tmp_path / "model", description(), {"model.onnx": bomb})
        assert number_of(lambda: Scorer(model)) == 82


class TestWhatIsNoModel:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("model.pkl", "a classic (pickled) model. Score tables with the Score Model module"),
            ("model.joblib", "a classic (pickled) model"),
            ("weights.PT", "calotype model import"),
            ("weights.safetensors", "calotype model import"),
            ("net.onnx", "calotype model import"),
            ("letter.txt", "model.json. Train a model with 'calotype train'"),
            ("untrained/untrained_model.json", "an untrained model. Train it first"),
            ("images/image_directory.json", "an image directory. Exchange"),
            ("folder/score.py", "without a readable model.json"),
        ],
    )
    def test_each_gets_its_hint(self, tmp_path: Path, name: str, said: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"anything")
        with pytest.raises(errors.InvalidModel) as caught:
            ImageModel.load(path.parent if path.parent != tmp_path else path)
        assert caught.value.number == 159
        assert said in str(caught.value)

    @pytest.mark.parametrize("name", ["nothing", "nothing.pkl", "nothing.onnx", "nothing.calotype"])
    def test_what_is_not_there_is_said_to_be_missing(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(errors.InvalidModel, match="no such file or folder"):
            ImageModel.load(tmp_path / name)

    @pytest.mark.parametrize(
        ("meta", "spec", "said"),
        [
            ("type: ModelDirectory", "flavor: {name: sklearn}", "a classic (tabular) model"),
            ("type: ModelDirectory", "flavor: {name: pytorch}", "an untrained model of the"),
            (
                "extension: {}\ntype: ModelDirectory\n",
                "flavor: {name: pytorch}\nlabel_map_file: index_to_label.csv",
                "a model of the retired designer. Make one of ours of it: 'calotype model",
            ),
            ("type: ImageDirectory", "", "a directory of type ImageDirectory"),
            ("type: DataFrameDirectory", "", "a directory of type DataFrameDirectory"),
        ],
    )
    def test_folders_of_the_retired_designer(
        self, tmp_path: Path, meta: str, spec: str, said: str
    ) -> None:
        (tmp_path / "_meta.yaml").write_text(meta)
        if spec:
            (tmp_path / "model_spec.yaml").write_text(spec)
        with pytest.raises(errors.InvalidModel) as caught:
            ImageModel.load(tmp_path)
        assert said in str(caught.value)


class TestWhereToWrite:
    def test_other_peoples_files_are_not_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("Dear Anna")
        for out in (tmp_path, tmp_path / "letter.txt"):
            assert number_of(lambda out=out: save_model(out)) == 57
        assert (tmp_path / "letter.txt").read_text() == "Dear Anna"

    def test_a_file_beside_an_earlier_model_is_not_lost(self, tmp_path: Path) -> None:
        save_model(tmp_path / "model")
        (tmp_path / "model" / "notes.txt").write_text("do not lose")
        with pytest.raises(errors.AlreadyExists, match=r"notes\.txt"):
            save_model(tmp_path / "model")
        assert (tmp_path / "model" / "notes.txt").exists()

    def test_what_an_interrupted_optimisation_left_is_no_obstacle(self, tmp_path: Path) -> None:
        save_model(tmp_path / "model")
        (tmp_path / "model" / image_model.INT8_ONNX).touch()
        save_model(tmp_path / "model", ("a", "b"))
        assert not (tmp_path / "model" / image_model.INT8_ONNX).exists()

    def test_a_model_json_of_another_program_is_not_replaced(self, tmp_path: Path) -> None:
        """TensorFlow.js calls its description so."""
        (tmp_path / "model.json").write_text('{"format": "graph-model", "weightsManifest": []}')
        assert number_of(lambda: check_target(tmp_path)) == 57

    def test_an_empty_folder_and_a_new_one_are_fine(self, tmp_path: Path) -> None:
        check_target(tmp_path)
        check_target(tmp_path / "a" / "b" / "c")
        assert list(tmp_path.iterdir()) == []

    def test_a_link_to_a_model_stays_one(self, tmp_path: Path) -> None:
        save_model(tmp_path / "real")
        (tmp_path / "link").symlink_to("real")
        save(tmp_path / "link", description(("a", "b")), {})
        assert (tmp_path / "link").is_symlink()
        assert ImageModel.load(tmp_path / "real").classes == ("a", "b")

    def test_a_path_through_a_file_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for out in (tmp_path / "file" / "model", tmp_path / "file" / "deep" / "model"):
            assert number_of(lambda out=out: check_target(out)) == 46
            assert number_of(lambda out=out: save(out, description(), {})) == 46

    def test_a_read_only_place_is_found_out_before_the_work(self, tmp_path: Path) -> None:
        # The kernel's folder cannot be written to even by root, who may write anywhere else.
        assert number_of(lambda: check_target(Path("/proc/sys/model"))) == 46


class TestClassNames:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("c.txt", b"cat\ndog\n"),
            ("c.txt", b"cat\ndog"),
            ("c.txt", b"\xef\xbb\xbfcat\r\ndog\r\n\r\n"),
            ("c.names", b"cat\ndog\n"),
            ("c.json", b'["cat", "dog"]'),
            ("c.JSON", b'\xef\xbb\xbf["cat", "dog"]'),
        ],
    )
    def test_forms(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        assert read_classes(tmp_path / name) == ["cat", "dog"]

    def test_only_line_ends_divide_names(self, tmp_path: Path) -> None:
        names = ["é漢字", "a\u2028b", "01", "null"]
        (tmp_path / "c.txt").write_text("\n".join(names), encoding="utf-8")
        assert read_classes(tmp_path / "c.txt") == names

    @pytest.mark.parametrize(
        ("name", "content", "number"),
        [
            ("c.txt", b"", 49),
            ("c.txt", b"\n\n", 49),
            ("c.txt", b"cat\n\ndog\n", 49),
            ("c.txt", b"cat\ndog\ncat\n", 49),
            ("c.txt", b"caf\xe9\n", 48),
            ("c.json", b"{}", 49),
            ("c.json", b"[]", 49),
            ("c.json", b'["cat", 1]', 49),
            ("c.json", b'["cat", ""]', 49),
            ("c.json", b'["cat"', 49),
            ("c.json", b'"cat"', 49),
        ],
    )
    def test_mistakes(self, tmp_path: Path, name: str, content: bytes, number: int) -> None:
        (tmp_path / name).write_bytes(content)
        assert number_of(lambda: read_classes(tmp_path / name)) == number

    def test_what_occurs_twice_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "c.txt").write_text("owl\ncat\ndog\ncat\n")
        with pytest.raises(errors.UnparsableFile, match="'cat' twice"):
            read_classes(tmp_path / "c.txt")

    def test_a_missing_file_and_a_folder_are_unreadable(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "nothing"):
            assert number_of(lambda path=path: read_classes(path)) == 48


def test_the_copy_of_a_model_is_the_model(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    shutil.copytree(model.path, tmp_path / "copy")
    assert ImageModel.load(tmp_path / "copy").digest == model.digest
