"""What datasets of the retired SDK had and what has no meaning here."""

from __future__ import annotations

from typing import Final

from calotype.webservice.unsupported_parameters import Unsupported

_PATH: Final = "Pass the script the mount_point of mount(), or a folder that download() filled."
_TABLE: Final = "Read the table with pandas, and register its file with Dataset.File.from_files."
_VERSIONS: Final = "register makes a version of files that changed; get_by_name takes any of them."


def _methods(names: str, why: str, instead: str) -> tuple[Unsupported, ...]:
    return tuple(Unsupported(f"Dataset.{name}", "error", why, instead) for name in names.split())


METHODS: Final = (
    *_methods(
        "as_named_input as_mount as_download as_hdfs as_cache hydrate",
        "No run of a cloud is waiting for its input.",
        _PATH,
    ),
    *_methods(
        "filter file_metadata get_partition_key_values",
        "Files have no columns.",
        "Use a pattern such as 'photos/**/*.jpg', or take, skip, random_split.",
    ),
    *_methods(
        "auto_read_files from_binary_files from_delimited_files from_excel_files from_json_files "
        "from_pandas_dataframe from_parquet_files from_sql_query head sample to_pandas_dataframe "
        "to_spark_dataframe generate_profile get_profile compare_profiles",
        "Datasets here are of files, most of all images.",
        _TABLE,
    ),
    *_methods(
        "create_snapshot delete_snapshot get_snapshot get_all_snapshots get_definition "
        "get_definitions update_definition diff",
        "Versions took the place of definitions and snapshots.",
        _VERSIONS,
    ),
    *_methods(
        "archive deactivate deprecate reactivate",
        "A version is there or deleted.",
        "Use unregister_all_versions, or `calotype dataset delete NAME:VERSION`.",
    ),
    *_methods("get", "It was old already.", "Use Dataset.get_by_name or Dataset.get_by_id."),
    *_methods("list", "It was old already.", "Use Dataset.get_all."),
)
OTHERS: Final = (
    Unsupported(
        "upload_directory",
        "error",
        "There are no datastores.",
        "Use Dataset.File.from_files(folder), and register(…, copy=True) to keep the files.",
    ),
    Unsupported(
        "partition_keys",
        "error",
        "Files have no columns.",
        "Categories come from the names of folders.",
    ),
    Unsupported("is_file", "warning", "A path is looked at to see what it is."),
    Unsupported(
        "ignore_not_found",
        "warning",
        "A dataset with files that are gone is another one.",
        "Register it again.",
    ),
)
DATASETS: Final = (*METHODS, *OTHERS)
