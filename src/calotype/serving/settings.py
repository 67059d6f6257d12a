"""Everything that can be set about a running service, with its limits: the options of `serve`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from calotype.parameters import Parameters

NAME_RULE = r"^[a-z][a-z0-9-]{1,30}[a-z0-9]$"


class ServiceSettings(Parameters):
    """How a service answers, and how much it lets a caller ask of it."""

    name: str = Field(
        default="service",
        pattern=NAME_RULE,
        description="3 to 32 lower-case letters, digits and dashes, for the Swagger title, metrics "
        "and tokens.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=5001, ge=0, le=65535, description="Port; 0 takes a free one.")
    path_prefix: str = Field(
        default="",
        pattern=r"^(/[^/\s?#]+)*$",
        description="Answer below this path too, such as /api/v1/service/NAME.",
    )
    workers: int = Field(default=1, ge=1, le=256, description="Processes that run an entry script.")
    isolation: Literal["process", "none"] = Field(
        default="process",
        description="process: a crash of a script costs only the request that it held; none: HTTP "
        "and script share a process, which saves microseconds.",
    )
    auth: Literal["none", "key", "token"] = Field(
        default="none", description="What callers have to show."
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description="Origins whose pages may call the service; * for all."
    )
    scoring_timeout_ms: int = Field(
        default=60_000, ge=1, description="504 when scoring takes longer."
    )
    max_request_wait_ms: int = Field(
        default=500, ge=0, description="503 when a request had to wait longer for its turn."
    )
    max_queued_requests: int = Field(
        default=1000, ge=0, description="503 when as many are waiting already."
    )
    max_concurrent_requests: int = Field(
        default=1, ge=1, le=1000, description="Requests that a worker of a script gets at a time."
    )
    max_body_bytes: int = Field(default=100 << 20, ge=1, description="413 for a larger body.")
    max_total_body_bytes: int = Field(
        default=1 << 30, ge=1, description="503 when the bodies held at one time exceed this."
    )
    max_header_bytes: int = Field(default=64 << 10, ge=1024, description="431 for more.")
    max_headers: int = Field(default=100, ge=10, description="431 for more header lines.")
    max_url_bytes: int = Field(default=8 << 10, ge=256, description="414 for a longer URL.")
    max_connections: int = Field(default=1000, ge=1, description="503 for a further one.")
    max_multipart_parts: int = Field(default=100, ge=1, description="413 for a form with more.")
    max_json_depth: int = Field(
        default=64, ge=2, le=500, description="400 for JSON that is nested deeper."
    )
    max_items: int = Field(default=1000, ge=1, description="413 for more images in one request.")
    max_image_bytes: int = Field(default=50 << 20, ge=1, description="413 for a larger image.")
    max_image_pixels: int = Field(
        default=100_000_000, ge=1, le=178_000_000, description="413 for an image of more pixels."
    )
    header_timeout_s: float = Field(
        default=10.0, gt=0, description="408 when the headers take longer to arrive."
    )
    body_timeout_s: float = Field(
        default=60.0, gt=0, description="408 when the body takes longer to arrive."
    )
    write_timeout_s: float = Field(
        default=60.0, gt=0, description="Closed when a caller takes longer to read an answer."
    )
    idle_timeout_s: float = Field(
        default=75.0, gt=0, description="A connection without a request is closed after that."
    )
    drain_timeout_s: float = Field(
        default=30.0, gt=0, description="How long accepted requests may take after SIGTERM."
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Take a list as the command line has it: separated by commas."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value
