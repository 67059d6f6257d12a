"""The cluster under the names of the retired SDK: this machine, and the address it shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from calotype.webservice import configuration_checks as checks
from calotype.webservice import unsupported
from calotype.webservice.exceptions import told_as
from calotype.webservice.retired import Retired
from calotype.workspace.services import machine
from calotype.workspace.workspace import Workspace


@dataclass
class TlsConfiguration:
    """Certificate of the front door.

    Attributes:
        status: "Enabled", "Disabled" or "Auto", which has no meaning here.
        cert: PEM file with its chain.
        key: PEM file.
        cname: the host name of the services' URIs.
    """

    status: str | None = None
    cert: str | Path | None = None
    key: str | Path | None = None
    cname: str | None = None
    leaf_domain_label: str | None = None
    overwrite_existing_domain: bool | None = None
    renew: bool | None = None


@dataclass
class UpdateConfiguration:
    """What `ClusterCompute.update` takes.

    Attributes:
        ssl_configuration: certificate of the front door; None leaves it as it is.
    """

    ssl_configuration: TlsConfiguration | None = None


@dataclass
class ProvisioningConfiguration:
    """What `ClusterCompute.provisioning_configuration` was given that means something here."""

    ssl_cname: str | None = None
    ssl_cert_pem_file: str | None = None
    ssl_key_pem_file: str | None = None

    def enable_ssl(
        self,
        ssl_cname: str | None = None,
        ssl_cert_pem_file: str | Path | None = None,
        ssl_key_pem_file: str | Path | None = None,
        leaf_domain_label: str | None = None,
        overwrite_existing_domain: bool = False,
    ) -> None:
        """Have the address serve by TLS.

        Raises:
            WebserviceException: a file or the name is missing.
        """
        _check_tls(ssl_cname, ssl_cert_pem_file, ssl_key_pem_file, leaf_domain_label)
        unsupported.ignore_given(overwrite_existing_domain=overwrite_existing_domain or None)
        self.ssl_cname = ssl_cname
        self.ssl_cert_pem_file = str(ssl_cert_pem_file)
        self.ssl_key_pem_file = str(ssl_key_pem_file)


class ClusterCompute:
    """This machine as a cluster; `AksCompute` in the retired SDK.

    Args:
        workspace: whose services it runs.
        name: any; there is one cluster.
    """

    type: ClassVar[str] = "AKS"
    provisioning_state: ClassVar[str] = "Succeeded"
    provisioning_errors: ClassVar[list[str] | None] = None

    class ClusterPurpose(StrEnum):
        """What a cluster was for, which has no meaning here."""

        FAST_PROD = "FastProd"
        DEV_TEST = "DevTest"

    agent_vm_size = Retired("AksCompute.agent_vm_size")
    agent_count = Retired("AksCompute.agent_count")
    cluster_fqdn = Retired("AksCompute.cluster_fqdn")
    system_services = Retired("AksCompute.system_services")

    def __init__(self, workspace: Workspace, name: str = "") -> None:
        self.workspace = workspace
        self.name = name or machine()

    def __repr__(self) -> str:
        return f"ClusterCompute(workspace={self.workspace.name!r}, name={self.name!r})"

    @staticmethod
    def provisioning_configuration(  # noqa: PLR0913, PLR0917 - as in the retired SDK
        agent_count: int | None = None,
        vm_size: str | None = None,
        ssl_cname: str | None = None,
        ssl_cert_pem_file: str | Path | None = None,
        ssl_key_pem_file: str | Path | None = None,
        location: str | None = None,
        vnet_resourcegroup_name: str | None = None,
        vnet_name: str | None = None,
        subnet_name: str | None = None,
        service_cidr: str | None = None,
        dns_service_ip: str | None = None,
        docker_bridge_cidr: str | None = None,
        cluster_purpose: str | None = None,
        load_balancer_type: str | None = None,
        load_balancer_subnet: str | None = None,
    ) -> ProvisioningConfiguration:
        """Return what `ComputeTarget.create` takes: only the certificate means something here.

        Raises:
            WebserviceException: a file of the certificate is missing.
        """
        given = dict(locals())
        tls = {name: given.pop(name) for name in list(given) if name.startswith("ssl_")}
        unsupported.ignore_given(**given)
        made = ProvisioningConfiguration()
        if any(value is not None for value in tls.values()):
            made.enable_ssl(ssl_cname, ssl_cert_pem_file, ssl_key_pem_file)
        return made

    @staticmethod
    def attach_configuration(
        resource_group: str | None = None,
        cluster_name: str | None = None,
        resource_id: str | None = None,
        cluster_purpose: str | None = None,
        load_balancer_type: str | None = None,
        load_balancer_subnet: str | None = None,
    ) -> ProvisioningConfiguration:
        """Return what `ComputeTarget.attach` takes; nothing of it means something here."""
        unsupported.ignore_given(**locals())
        return ProvisioningConfiguration()

    def enable_ssl(
        self,
        ssl_cname: str | None = None,
        ssl_cert_pem_file: str | Path | None = None,
        ssl_key_pem_file: str | Path | None = None,
        leaf_domain_label: str | None = None,
        overwrite_existing_domain: bool = False,
    ) -> None:
        """Have the address that all cluster services share serve by TLS.

        Raises:
            WebserviceException: a file or the name is missing, or cannot be used.
        """
        wanted = ProvisioningConfiguration()
        wanted.enable_ssl(
            ssl_cname,
            ssl_cert_pem_file,
            ssl_key_pem_file,
            leaf_domain_label,
            overwrite_existing_domain,
        )
        self.apply(wanted)

    def disable_ssl(self) -> None:
        """Have the address serve by plain HTTP again."""
        self._up("", "")

    def update(self, update_configuration: UpdateConfiguration | None = None) -> None:
        """Change the certificate.

        Raises:
            WebserviceException: a file or the name is missing, or cannot be used.
        """
        said = update_configuration.ssl_configuration if update_configuration else None
        if said is None or said.status is None:
            return
        unsupported.ignore_given(renew=said.renew or None)
        if said.status.lower() == "disabled":
            self.disable_ssl()
        else:
            self.enable_ssl(
                said.cname,
                said.cert,
                said.key,
                said.leaf_domain_label,
                bool(said.overwrite_existing_domain),
            )

    def apply(self, configuration: ProvisioningConfiguration) -> None:
        """Do what a configuration says about the certificate."""
        if configuration.ssl_cert_pem_file and configuration.ssl_key_pem_file:
            certificate = Path(configuration.ssl_cert_pem_file).absolute()
            key = Path(configuration.ssl_key_pem_file).absolute()
            self._up(str(certificate), str(key), cname=configuration.ssl_cname or "")

    def wait_for_completion(
        self, show_output: bool = False, is_delete_operation: bool = False
    ) -> None:
        """It is there already, and it stays."""

    def get_status(self) -> str:
        """Return "Succeeded": this machine is there."""
        return self.provisioning_state

    def refresh_state(self) -> None:
        """Nothing changes."""

    def detach(self) -> None:
        """This machine stays; its services stay too."""

    def delete(self) -> None:
        """This machine stays; its services stay too."""

    def get_credentials(self) -> NoReturn:
        """There is no cluster of Kubernetes.

        Raises:
            WebserviceException: always.
        """
        unsupported.refuse("get_credentials")

    def serialize(self) -> dict[str, Any]:
        """Return this as JSON has it."""
        return {
            "name": self.name,
            "computeType": self.type,
            "provisioningState": self.provisioning_state,
        }

    def _up(self, certificate: str, key: str, *, cname: str = "") -> None:
        from calotype.hosting import keeping
        from calotype.serving.tls import TlsCertificate, TlsSettings

        with told_as():
            if certificate:
                TlsCertificate(TlsSettings(Path(certificate), Path(key)))  # or it raises
            known = self.workspace.fact("front_door") or {"host": "127.0.0.1", "port": 0}
            self.workspace.set_fact("front_door", {**known, "cname": cname})
            keeping.up(self.workspace, tls_certificate=certificate, tls_key=key)


class ComputeTarget:
    """Finds the cluster; there is one, under whatever name."""

    def __new__(cls, workspace: Workspace, name: str) -> ClusterCompute:  # pyright: ignore[reportInconsistentConstructor] - so it was
        """Return the cluster."""
        return ClusterCompute(workspace, name)

    @staticmethod
    def create(
        workspace: Workspace,
        name: str,
        provisioning_configuration: ProvisioningConfiguration | None = None,
    ) -> ClusterCompute:
        """Return the cluster, with the certificate that the configuration names."""
        made = ClusterCompute(workspace, name)
        if provisioning_configuration is not None:
            made.apply(provisioning_configuration)
        return made

    @staticmethod
    def attach(
        workspace: Workspace,
        name: str,
        attach_configuration: ProvisioningConfiguration | None = None,
    ) -> ClusterCompute:
        """Return the cluster."""
        return ComputeTarget.create(workspace, name, attach_configuration)

    @staticmethod
    def list(workspace: Workspace) -> list[ClusterCompute]:
        """Return the one cluster."""
        return [ClusterCompute(workspace)]


def _check_tls(
    cname: str | None, certificate: str | Path | None, key: str | Path | None, label: str | None
) -> None:
    if label is not None:
        unsupported.refuse("leaf_domain_label")
    values: Mapping[str, Any] = {
        "ssl_enabled": True,
        "ssl_cname": cname,
        "ssl_cert_pem_file": str(certificate) if certificate else None,
        "ssl_key_pem_file": str(key) if key else None,
    }
    checks.refuse(list(checks.tls(values)), what="a certificate")
