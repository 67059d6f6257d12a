"""Ready clients of a service, in seven languages."""

from calotype.clients.client import LANGUAGES, Auth, ClientLanguage, Language, client_source

__all__ = ["LANGUAGES", "Auth", "ClientLanguage", "Language", "client_source"]
