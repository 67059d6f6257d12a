"""A single service with an address of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from calotype.webservice.instance_configuration import InstanceConfiguration
from calotype.webservice.updating import known_only, update
from calotype.webservice.webservice import Webservice

if TYPE_CHECKING:
    from calotype.webservice.inference_config import InferenceConfig
    from calotype.webservice.model import Model


class InstanceWebservice(Webservice):
    """One service, one process with workers, a port of its own; keys and TLS on request."""

    compute_type: ClassVar[str] = "ACI"
    deploy_configuration = InstanceConfiguration

    def update(  # noqa: PLR0913, PLR0917 - as in the retired SDK
        self,
        image: object = None,
        tags: dict[str, str] | None = None,
        properties: dict[str, str] | None = None,
        description: str | None = None,
        auth_enabled: bool | None = None,
        ssl_enabled: bool | None = None,
        ssl_cert_pem_file: str | None = None,
        ssl_key_pem_file: str | None = None,
        ssl_cname: str | None = None,
        enable_app_insights: bool | None = None,
        models: Sequence[Model | str] | None = None,
        inference_config: InferenceConfig | None = None,
        **own: Any,
    ) -> None:
        """Change it in place; what is None stays, and so do its URI and its keys.

        Args:
            image: refused.
            tags: all of them.
            properties: to be added.
            description: another one.
            auth_enabled: callers have to show a key.
            ssl_enabled: serve by TLS.
            ssl_cert_pem_file: certificate with its chain.
            ssl_key_pem_file: its key.
            ssl_cname: the host name in its URIs.
            enable_app_insights: keep a history of requests and failures.
            models: all of its models.
            inference_config: what runs them.
            own: parameters of `deploy_configuration` that could not be changed formerly.

        Raises:
            WebserviceException: there is nothing to change, or it cannot be changed so.
        """
        values = {
            "tags": tags,
            "properties": properties,
            "description": description,
            "auth_enabled": auth_enabled,
            "ssl_enabled": ssl_enabled,
            "ssl_cert_pem_file": ssl_cert_pem_file,
            "ssl_key_pem_file": ssl_key_pem_file,
            "ssl_cname": ssl_cname,
            "enable_app_insights": enable_app_insights,
            **known_only(InstanceConfiguration, own),
        }
        update(self, values, image=image, models=models, inference_config=inference_config)
