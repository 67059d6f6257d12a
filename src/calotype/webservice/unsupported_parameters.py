"""Parameters and methods of the retired SDK that have no meaning here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Unsupported:
    """One thing of the retired SDK.

    Attributes:
        name: of the parameter, method or class.
        answer: it is accepted with a warning and does nothing, or refused with an error (2006).
        why: what stands against it, as a sentence.
        instead: what does the job here, as a sentence; empty when nothing is needed.
    """

    name: str
    answer: Literal["warning", "error"]
    why: str
    instead: str = ""


_CLOUD = "It belongs to a subscription of the cloud."
_BUILD = "Nothing is built: services run in environments of this machine."
_SEALED = "Secrets are sealed with the key file of the workspace."
PARAMETERS: Final = (
    Unsupported("subscription_id", "warning", _CLOUD, "A workspace is found by its folder."),
    Unsupported("resource_group", "warning", _CLOUD, "A workspace is found by its folder."),
    Unsupported("auth", "warning", _CLOUD, "The rights of the workspace's files decide."),
    Unsupported("location", "warning", "A service runs on the machine that deploys it."),
    Unsupported(
        "dns_name_label",
        "warning",
        "There is no provider who would give a name.",
        "Point a name of yours to this machine and pass it as ssl_cname.",
    ),
    Unsupported(
        "vnet_name", "warning", "There is no virtual network.", "host says who can reach a service."
    ),
    Unsupported(
        "subnet_name",
        "warning",
        "There is no virtual network.",
        "host says who can reach a service.",
    ),
    Unsupported(
        "cmk_vault_base_url",
        "warning",
        "There is no key vault.",
        _SEALED,
    ),
    Unsupported("cmk_key_name", "warning", "There is no key vault.", _SEALED),
    Unsupported("cmk_key_version", "warning", "There is no key vault.", _SEALED),
    Unsupported("namespace", "warning", "There is no cluster of Kubernetes."),
    Unsupported("blobfuse_enabled", "warning", "Models are unpacked from the workspace."),
    Unsupported(
        "compute_target_name",
        "warning",
        "A cluster is the processes of this machine.",
        "Leave it out.",
    ),
    Unsupported(
        "image_config",
        "error",
        _BUILD,
        "Pass an InferenceConfig to Model.deploy or update.",
    ),
    Unsupported("image", "error", _BUILD, "Pass models and inference_config to update."),
    Unsupported("image_name", "warning", _BUILD, "Filter by model_name."),
    Unsupported("image_id", "warning", _BUILD, "Filter by model_id."),
    Unsupported("image_digest", "warning", _BUILD, "Filter by model_id."),
    Unsupported(
        "deploy_from_image",
        "error",
        _BUILD,
        "Use Model.deploy, or run the image with docker and a package of Model.package.",
    ),
    Unsupported("extra_docker_file_steps", "warning", _BUILD, "Model.package writes a Dockerfile."),
    Unsupported("base_image", "warning", _BUILD, "Model.package writes a Dockerfile."),
    Unsupported("base_image_registry", "warning", "No container registry is used."),
    Unsupported("container_registry", "warning", "No container registry is used."),
    Unsupported("get_container_registry", "error", "No container registry is used."),
    Unsupported(
        "pull",
        "error",
        "Nothing is built in a cloud, and no container registry is used.",
        "save(folder) writes the Dockerfile; `docker build` makes the image.",
    ),
    Unsupported("image_build_compute", "warning", _BUILD),
    Unsupported("platform", "warning", "An environment is made for this machine."),
    Unsupported("docker.enabled", "warning", _BUILD, "Model.package writes a Dockerfile."),
    Unsupported("pip_version", "warning", "The pip of this machine installs."),
    Unsupported(
        "AzureML-…",
        "warning",
        "Curated environments were images of the cloud.",
        "An environment of that name without packages stands for it.",
    ),
    Unsupported("spark-py", "warning", "Spark is not used.", "The script runs as it is."),
    Unsupported(
        "pin_sdk_version", "warning", "Packages called azureml-… are left out, in any version."
    ),
    Unsupported("enable_gpu", "warning", "Scoring runs on the processor."),
    Unsupported("cuda_version", "warning", "Scoring runs on the processor."),
    Unsupported(
        "conda",
        "warning",
        "Environments are those of Python's venv; packages of conda are not installed.",
        "Name them as pip packages, or point python.interpreter_path to a conda environment.",
    ),
    Unsupported(
        "get_image_details",
        "error",
        _BUILD,
        "environment.python.interpreter_path is what a service runs with.",
    ),
    Unsupported(
        "get_sas_urls",
        "error",
        "There is no blob storage that would sign addresses.",
        "Use download.",
    ),
    Unsupported("vm_size", "warning", "The machine is the one you are at."),
    Unsupported("agent_count", "warning", "The machine is the one you are at."),
    Unsupported("vnet_resourcegroup_name", "warning", "There is no virtual network."),
    Unsupported("service_cidr", "warning", "There is no virtual network."),
    Unsupported("dns_service_ip", "warning", "There is no virtual network."),
    Unsupported("docker_bridge_cidr", "warning", "There is no virtual network."),
    Unsupported("load_balancer_type", "warning", "The front door is the balancer."),
    Unsupported("load_balancer_subnet", "warning", "There is no virtual network."),
    Unsupported("cluster_purpose", "warning", "The machine is the one you are at."),
    Unsupported("cluster_name", "warning", "There is no cluster of Kubernetes to attach."),
    Unsupported("resource_id", "warning", "There is no cluster of Kubernetes to attach."),
    Unsupported(
        "leaf_domain_label",
        "error",
        "There is no provider who would give a name and a certificate.",
        "Pass ssl_cname, ssl_cert_pem_file and ssl_key_pem_file.",
    ),
    Unsupported(
        "overwrite_existing_domain", "warning", "There is no provider who would give a name."
    ),
    Unsupported("get_credentials", "error", "There is no cluster of Kubernetes."),
    Unsupported(
        "datastore",
        "error",
        "There are no datastores.",
        "Pass the folder, archive, pattern or URL itself.",
    ),
    Unsupported("partition_format", "warning", "Categories come from the names of folders."),
    Unsupported("mount_point", "warning", "The files are where they are."),
    Unsupported(
        "Dataset.Tabular",
        "error",
        "Datasets here are of files, most of all images.",
        "Read the table with pandas, and register its file with Dataset.File.from_files.",
    ),
    Unsupported("raw", "warning", "A log is told as it is."),
    Unsupported("delete_cache", "warning", "A service leaves nothing when deleted."),
    Unsupported("delete_volume", "warning", "A service leaves nothing when deleted."),
    Unsupported("request_func", "warning", "Nobody is asked over the network."),
    Unsupported("check_func", "warning", "Nobody is asked over the network."),
    Unsupported("expand", "warning", "A model is always read whole."),
    Unsupported("page_count", "warning", "All models are read at once."),
    Unsupported("renew", "warning", "A renewed certificate is taken up by itself."),
    Unsupported(
        "delete_image", "warning", "There is no image; a service leaves nothing when deleted."
    ),
)
