"""The surface of the retired SDK: members, parameters and defaults, as its reference lists them.

A parameter is `name` when it must be given, `name=default` else; what stands for None is left out
behind the sign.
"""

from __future__ import annotations

from typing import Final

_AUTOSCALE = (
    "autoscale_enabled= autoscale_min_replicas= autoscale_max_replicas= autoscale_refresh_seconds= "
    "autoscale_target_utilization= "
)
_PROBES = (
    "period_seconds= initial_delay_seconds= timeout_seconds= success_threshold= failure_threshold= "
)
_LIMITS = "cpu_cores_limit= memory_gb_limit= "
_REQUESTS = "scoring_timeout_ms= replica_max_concurrent_requests= max_request_wait_time= "
_SAID = "tags= properties= description= "
_CLUSTER = (
    f"{_AUTOSCALE}collect_model_data= auth_enabled= cpu_cores= memory_gb= enable_app_insights= "
    f"{_REQUESTS}num_replicas= primary_key= secondary_key= {_SAID}gpu_cores= {_PROBES}namespace= "
    f"token_auth_enabled= compute_target_name= {_LIMITS}"
)
_VERSION = (
    f"version_name {_AUTOSCALE}collect_model_data= cpu_cores= memory_gb= {_REQUESTS}num_replicas= "
    f"{_SAID}models= inference_config= gpu_cores= {_PROBES}traffic_percentile= is_default= "
    f"is_control_version_type= {_LIMITS}"
)
_TLS = "ssl_cert_pem_file= ssl_key_pem_file= ssl_cname= "

SURFACE: Final[dict[str, dict[str, str]]] = {
    "core.webservice.Webservice": {
        "list": "workspace compute_type= image_name= image_id= model_name= model_id= tags= "
        "properties= image_digest=",
        "deploy": "workspace name model_paths image_config deployment_config= deployment_target= "
        "overwrite=False",
        "deploy_from_model": "workspace name models image_config deployment_config= "
        "deployment_target= overwrite=False",
        "deploy_local_from_model": "workspace name models image_config deployment_config= "
        "wait=False",
        "check_for_existing_webservice": "workspace name overwrite=False request_func= check_func=",
        "wait_for_deployment": "show_output=False timeout_sec=",
        "update_deployment_state": "",
        "get_logs": "num_lines=5000 init=False",
        "run": "input=",
        "get_keys": "",
        "regen_key": "key set_key=",
        "get_token": "",
        "get_access_token": "",
        "delete": "",
        "serialize": "",
        "deserialize": "workspace payload",
        "add_tags": "tags",
        "remove_tags": "tags",
        "add_properties": "properties",
    },
    "core.webservice.AksWebservice": {
        "deploy_configuration": f"{_CLUSTER}blobfuse_enabled=",
        "update": f"image= {_AUTOSCALE}collect_model_data= auth_enabled= cpu_cores= memory_gb= "
        f"enable_app_insights= {_REQUESTS}num_replicas= {_SAID}models= inference_config= "
        f"gpu_cores= {_PROBES}token_auth_enabled= {_LIMITS}",
    },
    "core.webservice.AksEndpoint": {
        "deploy_configuration": f"{_CLUSTER}version_name= traffic_percentile=",
        "update": "auth_enabled= token_auth_enabled= enable_app_insights= description= "
        "tags= properties=",
        "create_version": _VERSION,
        "update_version": _VERSION,
        "delete_version": "version_name",
    },
    "core.webservice.AciWebservice": {
        "deploy_configuration": f"cpu_cores= memory_gb= {_SAID}location= auth_enabled= "
        f"ssl_enabled= enable_app_insights= {_TLS}dns_name_label= primary_key= secondary_key= "
        "collect_model_data= cmk_vault_base_url= cmk_key_name= cmk_key_version= vnet_name= "
        "subnet_name=",
        "update": f"image= {_SAID}auth_enabled= ssl_enabled= {_TLS}enable_app_insights= models= "
        "inference_config=",
    },
    "core.webservice.LocalWebservice": {
        "__init__": "workspace name must_exist=True",
        "deploy_configuration": "port=",
        "list": "workspace model_name= model_id= all=",
        "wait_for_deployment": "show_output=False",
        "update_deployment_state": "must_exist=False",
        "reload": "wait=False",
        "update": "models= image_config= deployment_config= wait=False inference_config=",
        "delete": "delete_cache=True delete_image=False delete_volume=True",
        "get_logs": "num_lines=5000 raw=False",
        "run": "input_data",
        "deploy_to_cloud": "name= deployment_config= deployment_target=",
        "get_keys": "",
        "regen_key": "key set_key=",
        "get_token": "",
    },
    "core.model.Model": {
        "__init__": "workspace name= id= tags= properties= version= run_id= model_framework= "
        "expand=True",
        "register": "workspace model_path model_name tags= properties= description= datasets= "
        "model_framework= model_framework_version= child_paths= sample_input_dataset= "
        "sample_output_dataset= resource_configuration=",
        "get_model_path": "model_name version=",
        "download": "target_dir='.' exist_ok=False",
        "list": "workspace name= tags= properties= run_id= latest=False dataset_id= expand=True "
        "page_count=255 model_framework=",
        "update": "tags= description= sample_input_dataset= sample_output_dataset= "
        "resource_configuration=",
        "update_tags_properties": "add_tags= remove_tags= add_properties=",
        "add_tags": "tags",
        "remove_tags": "tags",
        "add_properties": "properties",
        "add_dataset_references": "datasets",
        "delete": "",
        "serialize": "",
        "deserialize": "workspace model_payload",
        "get_sas_urls": "",
        "deploy": "workspace name models inference_config= deployment_config= deployment_target= "
        "overwrite=False show_output=False",
        "package": "workspace models inference_config= generate_dockerfile=False image_name= "
        "image_label=",
        "profile": "workspace profile_name models inference_config input_dataset cpu= "
        "memory_in_gb= description=",
        "print_configuration": "models inference_config deployment_config deployment_target",
    },
    "core.model.InferenceConfig": {
        "__init__": "entry_script= runtime= conda_file= extra_docker_file_steps= "
        "source_directory= enable_gpu= description= base_image= base_image_registry= "
        "cuda_version= environment=",
    },
    "core.environment.Environment": {
        "__init__": "name",
        "get": "workspace name version= label=",
        "list": "workspace",
        "register": "workspace",
        "label": "workspace name version labels",
        "clone": "new_name",
        "from_conda_specification": "name file_path",
        "from_pip_requirements": "name file_path pip_version=",
        "from_existing_conda_environment": "name conda_environment_name",
        "from_docker_image": "name image container_registry= conda_specification= "
        "pip_requirements=",
        "from_dockerfile": "name dockerfile conda_specification= pip_requirements=",
        "from_docker_build_context": "name docker_build_context",
        "build": "workspace image_build_compute=",
        "build_local": "workspace platform=",
        "get_image_details": "workspace",
        "save_to_directory": "path overwrite=False",
        "load_from_directory": "path",
        "add_private_pip_wheel": "workspace file_path exist_ok=False",
    },
    "core.compute.AksCompute": {
        "provisioning_configuration": "agent_count= vm_size= ssl_cname= ssl_cert_pem_file= "
        "ssl_key_pem_file= location= vnet_resourcegroup_name= vnet_name= subnet_name= "
        "service_cidr= dns_service_ip= docker_bridge_cidr= cluster_purpose= "
        "load_balancer_type= load_balancer_subnet=",
        "attach_configuration": "resource_group= cluster_name= resource_id= cluster_purpose=",
        "enable_ssl": "ssl_cname= ssl_cert_pem_file= ssl_key_pem_file= leaf_domain_label= "
        "overwrite_existing_domain=False",
        "update": "update_configuration=",
        "detach": "",
        "delete": "",
        "get_credentials": "",
    },
    "core.conda_dependencies.CondaDependencies": {
        "create": "pip_indexurl= pip_packages= conda_packages= python_version= "
        "pin_sdk_version=True",
        "add_pip_package": "pip_package",
        "add_conda_package": "conda_package",
        "set_python_version": "version",
        "save": "path=",
    },
    "core.Dataset": {
        "get_by_name": "workspace name version='latest'",
        "register": "workspace name description= tags= create_new_version=False",
    },
    "core.Workspace": {
        "__init__": "subscription_id= resource_group= workspace_name= auth=",
        "from_config": "path=",
        "create": "name",
        "get": "name",
    },
}
PROPERTIES: Final[dict[str, str]] = {
    "core.webservice.Webservice": "auth_enabled token_auth_enabled scoring_uri swagger_uri "
    "compute_type state error description tags properties created_time updated_time created_by "
    "image_id image_digest",
    "core.webservice.AksWebservice": "autoscaler container_resource_requirements "
    "data_collection deployment_status enable_app_insights environment is_default "
    "liveness_probe_requirements max_concurrent_requests_per_container max_request_wait_time "
    "namespace num_replicas scoring_timeout_ms traffic_percentile version_type",
    "core.webservice.AciWebservice": "container_resource_requirements enable_app_insights "
    "environment location public_ip",
    "core.compute.AksCompute": "provisioning_state provisioning_errors",
    "core.webservice.LocalWebservice": "port scoring_uri swagger_uri",
    "core.model.Model": "name version id tags properties description created_time created_by "
    "model_framework model_framework_version run_id url datasets sample_input_dataset "
    "resource_configuration mime_type Framework",
    "core.Workspace": "name location subscription_id resource_group webservices models datasets "
    "environments compute_targets get_details write_config",
    "exceptions": "AzureMLException WebserviceException WebserviceNotFound "
    "ModelNotFoundException UserErrorException",
    "core": "AksCompute ComputeTarget ContainerRegistry Dataset Environment Model Webservice "
    "Workspace VERSION",
}
FRAMEWORKS: Final = ["Custom", "TensorFlow", "ScikitLearn", "Onnx", "TfKeras", "PyTorch", "Multi"]
