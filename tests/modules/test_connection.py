"""What may be joined to what, and what is said when it may not."""

from __future__ import annotations

import json
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from calotype import errors, modules
from calotype.images.convert import convert
from calotype.images.image_directory import ImageDirectory
from calotype.images.transformation import Transformation
from calotype.models.untrained_model import UntrainedModel
from calotype.modules import Context, Port, PortType

# The joints of the sample pipeline: (module, output) to (module, input).
SAMPLE = [
    ("convert_to_image_directory", 0, "split_image_directory", 0),
    ("split_image_directory", 0, "apply_image_transformation", 1),
    ("split_image_directory", 1, "apply_image_transformation", 1),
    ("init_image_transformation", 0, "apply_image_transformation", 0),
    ("densenet", 0, "train_pytorch_model", 0),
    ("resnet", 0, "train_pytorch_model", 0),
    ("apply_image_transformation", 0, "train_pytorch_model", 1),
    ("apply_image_transformation", 0, "train_pytorch_model", 2),
    ("train_pytorch_model", 0, "score_image_model", 0),
    ("apply_image_transformation", 0, "score_image_model", 1),
    ("score_image_model", 0, "evaluate_model", 0),
    ("score_image_model", 0, "evaluate_model", 1),
]


def output(module: str, index: int = 0) -> Port:
    return modules.find(module).outputs[index]


def target(module: str, index: int = 0) -> Port:
    return modules.find(module).inputs[index]


@pytest.fixture
def images(photos: Path, tmp_path: Path) -> ImageDirectory:
    return convert(photos, tmp_path / "images")


def original(folder: Path, type_name: str, **texts: str) -> Path:
    """Make a folder as the retired designer wrote it: (file name with dots as `_`) to text."""
    folder.mkdir()
    (folder / "_meta.yaml").write_text(f"type: {type_name}\nextension: {{}}\n")
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


@pytest.mark.parametrize(("source", "from_", "module", "to"), SAMPLE)
def test_the_sample_pipeline_can_be_joined(source: str, from_: int, module: str, to: int) -> None:
    modules.check_connection(output(source, from_), target(module, to))


@pytest.mark.parametrize("kind", [PortType.ANY_DIRECTORY, PortType.ZIP_FILE])
def test_raw_datasets_can_be_converted(kind: PortType) -> None:
    modules.check_connection(kind, target("convert_to_image_directory"))


@pytest.mark.parametrize(
    ("source", "module", "index", "number", "advice"),
    [
        (PortType.ANY_DIRECTORY, "score_image_model", 1, 18, "Convert to Image Directory"),
        (PortType.ZIP_FILE, "train_pytorch_model", 1, 18, "Convert to Image Directory"),
        (PortType.DATA_FRAME_DIRECTORY, "score_image_model", 1, 18, "Convert to Image Directory"),
        (PortType.TRANSFORMATION_DIRECTORY, "split_image_directory", 0, 18, "Apply Image"),
        (PortType.MODEL_DIRECTORY, "score_image_model", 1, 18, "on another port"),
        (PortType.UNTRAINED_MODEL_DIRECTORY, "train_pytorch_model", 1, 18, "on another port"),
        (PortType.UNTRAINED_MODEL_DIRECTORY, "score_image_model", 0, 159, "Train PyTorch Model"),
        (PortType.IMAGE_DIRECTORY, "score_image_model", 0, 159, "on another port"),
        (PortType.DATA_FRAME_DIRECTORY, "score_image_model", 0, 159, "Score Model"),
        (PortType.MODEL_DIRECTORY, "train_pytorch_model", 0, 159, "trained already"),
        (PortType.ANY_DIRECTORY, "train_pytorch_model", 0, 159, "ResNet or DenseNet"),
        (PortType.IMAGE_DIRECTORY, "apply_image_transformation", 0, 158, "Init Image"),
        (PortType.MODEL_DIRECTORY, "apply_image_transformation", 0, 158, "Apply Transformation"),
        (PortType.IMAGE_DIRECTORY, "evaluate_model", 0, 25, "Score Image Model"),
        (PortType.MODEL_DIRECTORY, "convert_to_image_directory", 0, 18, "a folder or an archive"),
        (PortType.DATA_FRAME_DIRECTORY, "convert_to_image_directory", 0, 18, "a folder or"),
    ],
)
def test_a_wrong_connection_has_its_number_and_advice(
    source: PortType, module: str, index: int, number: int, advice: str
) -> None:
    port = target(module, index)
    with pytest.raises(errors.CalotypeError) as caught:
        modules.check_connection(source, port, where="draft.yaml:7")
    assert caught.value.number == number
    assert caught.value.where == f"draft.yaml:7: input '{port.name}'"
    assert str(source) in caught.value.got
    assert advice in caught.value.action


def test_the_message_names_both_ports() -> None:
    with pytest.raises(errors.InvalidModel) as caught:
        modules.check_connection(output("resnet"), target("score_image_model"))
    assert str(caught.value) == (
        "input 'Trained model': expected a trained image model. Got the output 'Untrained model', "
        "an untrained model (UntrainedModelDirectory). Train it first, with Train PyTorch "
        "Model."
    )


def test_every_pair_of_other_types_is_refused() -> None:
    accepted = {
        (kind, port.types[0])
        for kind in PortType
        for port in (port for module in modules.all_modules() for port in module.inputs)
        if is_accepted(kind, port)
    }
    same = {(kind, kind) for kind in PortType if kind is not PortType.ZIP_FILE}
    for_convert = {PortType.ZIP_FILE, PortType.IMAGE_DIRECTORY}
    assert accepted == same | {(kind, PortType.ANY_DIRECTORY) for kind in for_convert}


def is_accepted(kind: PortType, port: Port) -> bool:
    try:
        modules.check_connection(kind, port)
    except errors.CalotypeError:
        return False
    return True


def test_types_are_found_by_content(photos: Path, images: ImageDirectory, tmp_path: Path) -> None:
    Transformation.of({}).save(tmp_path / "transformation")
    UntrainedModel(architecture="resnet18").save(tmp_path / "untrained")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(photos / "cats" / "1.jpg", "cats/1.jpg")
    with tarfile.open(tmp_path / "photos.tgz", "w:gz") as archive:
        archive.add(photos, "photos")

    assert modules.type_of(photos) is PortType.ANY_DIRECTORY
    assert modules.type_of(tmp_path / "photos.zip") is PortType.ZIP_FILE
    assert modules.type_of(tmp_path / "photos.tgz") is PortType.ZIP_FILE
    assert modules.type_of(images.folder) is PortType.IMAGE_DIRECTORY
    assert modules.type_of(tmp_path / "transformation") is PortType.TRANSFORMATION_DIRECTORY
    assert modules.type_of(tmp_path / "untrained") is PortType.UNTRAINED_MODEL_DIRECTORY
    assert modules.type_of(photos / "cats" / "1.jpg") is None
    assert modules.type_of(tmp_path / "nothing") is None


@pytest.mark.parametrize("kind", list(PortType))
def test_types_of_the_original_are_read_from_its_meta_file(kind: PortType, tmp_path: Path) -> None:
    assert modules.type_of(original(tmp_path / "x", str(kind))) is kind


def test_a_folder_with_an_unknown_meta_file_is_just_a_folder(tmp_path: Path) -> None:
    assert modules.type_of(original(tmp_path / "x", "Cluster")) is PortType.ANY_DIRECTORY


def test_missing_inputs_are_all_named(images: ImageDirectory) -> None:
    module = modules.find("train_pytorch_model")
    with pytest.raises(errors.EmptyInput) as caught:
        modules.check_inputs(module, {"training_dataset": images.folder})
    assert caught.value.number == 3
    assert "'Untrained model'" in str(caught.value)
    assert "'Validation dataset'" in str(caught.value)
    assert "'Training dataset'" not in str(caught.value)


def test_an_optional_input_may_be_missing(tmp_path: Path) -> None:
    table = tmp_path / "scored.csv"
    table.write_text("id\n1\n")
    modules.check_inputs(modules.find("evaluate_model"), {"scored_dataset": table})


def test_an_unknown_input_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(errors.UnparsableValue, match=r"Did you mean 'trained_model'\?"):
        modules.check_inputs(modules.find("score_image_model"), {"trained_modle": tmp_path})


def check_score(model: Path, images: Path) -> None:
    module = modules.find("score_image_model")
    modules.check_inputs(module, {"dataset": images, "trained_model": model})


def test_a_plain_folder_must_be_converted(photos: Path) -> None:
    with pytest.raises(errors.InvalidDataset) as caught:
        check_score(photos, photos)
    assert str(caught.value) == (
        "Score Image Model, input 'Dataset': expected an image directory. "
        f"Got {photos}, a folder of files (AnyDirectory). Use Convert to Image Directory: it "
        "makes one of a folder or an archive of images."
    )


def test_a_single_image_must_be_converted(photos: Path, images: ImageDirectory) -> None:
    with pytest.raises(errors.InvalidDataset, match="a file of another kind"):
        check_score(images.folder, photos / "cats" / "1.jpg")


def test_nothing_at_the_path_is_said_so(tmp_path: Path, images: ImageDirectory) -> None:
    with pytest.raises(errors.InvalidModel, match=r"Got nothing at .*/model\. "):
        check_score(tmp_path / "model", images.folder)


def test_a_pickled_model_belongs_to_score_model(tmp_path: Path, images: ImageDirectory) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"coefficients": [1.0]}))
    with pytest.raises(errors.InvalidModel, match="Score Model module") as caught:
        check_score(tmp_path / "model.pkl", images.folder)
    assert caught.value.number == 159


def test_a_folder_with_a_pickled_model_belongs_to_score_model(
    tmp_path: Path, images: ImageDirectory
) -> None:
    (tmp_path / "classic").mkdir()
    (tmp_path / "classic" / "model.pkl").write_bytes(pickle.dumps([1.0]))
    with pytest.raises(errors.InvalidModel, match="Score Model module"):
        check_score(tmp_path / "classic", images.folder)


def test_a_tabular_model_of_the_original_belongs_to_score_model(
    tmp_path: Path, images: ImageDirectory
) -> None:
    spec = "flavor:\n  name: sklearn\n  serialization_method: pickle\n"
    model = original(tmp_path / "classic", "ModelDirectory", model_spec__yaml=spec)
    with pytest.raises(errors.InvalidModel, match="Score Model module") as caught:
        check_score(model, images.folder)
    assert caught.value.where.startswith("Score Image Model, input 'Trained model': ")


def test_an_untrained_model_must_be_trained(tmp_path: Path, images: ImageDirectory) -> None:
    UntrainedModel(architecture="resnet18").save(tmp_path / "untrained")
    with pytest.raises(errors.InvalidModel, match="Train it first"):
        check_score(tmp_path / "untrained", images.folder)


def test_a_model_cannot_be_trained_again(tmp_path: Path, images: ImageDirectory) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    inputs = {
        "untrained_model": tmp_path / "model",
        "training_dataset": images.folder,
        "validation_dataset": images.folder,
    }
    with pytest.raises(errors.InvalidModel, match="trained already"):
        modules.check_inputs(modules.find("train_pytorch_model"), inputs)


def test_a_damaged_model_is_found_before_the_run(tmp_path: Path, images: ImageDirectory) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    with pytest.raises(errors.CorruptModel, match=r"^Score Image Model, input 'Trained model': "):
        check_score(tmp_path / "model", images.folder)


def test_a_transformation_of_tables_is_refused(tmp_path: Path, images: ImageDirectory) -> None:
    tabular = original(tmp_path / "tabular", "TransformationDirectory")
    inputs = {"input_image_transformation": tabular, "input_image_directory": images.folder}
    with pytest.raises(errors.InvalidTransformation, match="Apply Transformation module") as caught:
        modules.check_inputs(modules.find("apply_image_transformation"), inputs)
    assert caught.value.number == 158


def test_an_image_transformation_of_the_original_is_taken(
    tmp_path: Path, images: ImageDirectory
) -> None:
    steps = json.dumps([["Resize", 64], ["CenterCrop", 32]])
    old = original(tmp_path / "old", "TransformationDirectory", _transforms__json=steps)
    inputs = {"input_image_transformation": old, "input_image_directory": images.folder}
    modules.check_inputs(modules.find("apply_image_transformation"), inputs)


def test_unscored_images_cannot_be_evaluated(images: ImageDirectory) -> None:
    with pytest.raises(errors.NotScored, match="with Score Image Model") as caught:
        modules.check_inputs(modules.find("evaluate_model"), {"scored_dataset": images.folder})
    assert caught.value.number == 25


def test_a_single_image_file_can_be_converted(photos: Path) -> None:
    module = modules.find("convert_to_image_directory")
    modules.check_inputs(module, {"input_dataset": photos / "cats" / "1.jpg"})


@pytest.mark.parametrize("name", ["photos.zip", "photos.tgz", "photos.tar.bz2"])
def test_a_damaged_archive_is_left_to_the_module(name: str, photos: Path, tmp_path: Path) -> None:
    kind = {"zip": "zip", "tgz": "gztar", "bz2": "bztar"}[name.rpartition(".")[2]]
    whole = Path(shutil.make_archive(str(tmp_path / "whole"), kind, photos))
    (tmp_path / name).write_bytes(whole.read_bytes()[:700])
    assert modules.type_of(tmp_path / name) is PortType.ZIP_FILE
    module = modules.find("convert_to_image_directory")
    with pytest.raises(errors.InvalidArchive) as caught:
        modules.execute(
            module,
            {"input_dataset": tmp_path / name},
            {"output_image_directory": tmp_path / "out"},
            {},
            context=Context(),
        )
    assert caught.value.number == 102


def test_a_missing_dataset_cannot_be_converted(tmp_path: Path) -> None:
    module = modules.find("convert_to_image_directory")
    with pytest.raises(errors.InvalidDataset, match="nothing at"):
        modules.check_inputs(module, {"input_dataset": tmp_path / "photos"})
